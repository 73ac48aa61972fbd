package main

const (
	bundleGo    = "internal/cloud/bundle/bundle.go"
	bundlesAPI  = "internal/cloud/api/bundle.go"
	boxGo       = "internal/agent/box.go"
	doctorMake  = "internal/doctor/bundle.go"
	ofTheBundle = "internal/cloud/api internal/cloud/serve"
)

// ofBundles are the checks of who gets a support bundle, and of what is in it.
var ofBundles = []mutant{
	{"PRIV-8 T-67", bundleGo, `	if err != nil {
		return nil, nil, err
	}
	if err := actor.StepUp(now); err != nil {
		return nil, nil, err
	}`, `	if err := actor.StepUp(now); err != nil {
		return nil, nil, err
	}`, ofTheBundle, "who takes one away"},
	{"PRIV-8", bundleGo, `	if err := actor.StepUp(now); err != nil {
		return nil, nil, err
	}
`, ``, ofTheBundle, "a fresh second factor"},
	{"T-67", bundleGo, `o == nil || o.Agent != agent || o.Action`, `o == nil || o.Action`, ofTheBundle, "the agent of the order"},
	{"T-67", bundleGo, ` || o.Action != policy.SupportBundle`, ``, ofTheBundle, "an order of a bundle"},
	{"T-67", bundleGo, `	if !s.open(o) {`, `	if false {`, ofTheBundle, "an order that is open"},
	{"T-67", bundleGo, `o.Attempts == 0 || o.Withheld`, `o.Attempts == 0`, ofTheBundle, "a right that has ended"},
	{"T-67", bundlesAPI, `hex.EncodeToString(sum[:]) != want`, `len(sum) == 0`, ofTheBundle, "the digest of the body"},
	{"T-67", boxGo, `	if !b.may() {`, `	if false {`, "internal/agent", "what the site says"},
	{"T-67", doctorMake, `	if of := secrets.find(p.data); of != "" {`, `	if of := secrets.find(p.data); false {`, "internal/doctor", "the last look for secrets"},
}
