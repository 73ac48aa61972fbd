package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"upsedge/internal/agent"
	"upsedge/internal/doctor"
	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// TestABoxWithoutANetworkIsExamined: one problem says it, and nothing that follows from it is told beside it; whoever waits gets an answer.
func TestABoxWithoutANetworkIsExamined(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to take the network away")
	}
	p := newPlace(t, "units: [{name: rack-a, tcp: {address: \"192.0.2.20:502\"}}]\nuplink: {broker: \"tls://broker.example\", agent_id: box-1}\n")
	cmd := exec.CommandContext(t.Context(), testenv.Build(t, "./cmd/agent"), "--config", p.file, "doctor", "--json")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Env = []string{hasty}
	out, err := cmd.Output()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	var found []doctor.Finding
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	of := func(check string) (all []doctor.Finding) {
		return slices.DeleteFunc(slices.Clone(found), func(f doctor.Finding) bool { return f.Check != check })
	}
	if n := of("network"); len(n) != 1 || n[0].Level != doctor.Problem || !strings.Contains(n[0].What, "no network interface") {
		t.Errorf("the network: %+v", n)
	}
	for _, check := range []string{"unit", "dns", "broker"} {
		if told := of(check); len(told) != 0 {
			t.Errorf("told beside its cause: %+v", told)
		}
	}
}

// TestTheDoctorOfAHealthySite: every check has an answer, and none that is a problem of this site.
func TestTheDoctorOfAHealthySite(t *testing.T) {
	t.Parallel()
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	p := newPlace(t, "units: [{name: rack-a, tcp: {address: \""+addr+"\"}}]\n")
	p.start().showing(`ups_up{ups="rack-a"}`, "1")
	out, words, _ := p.upsagent("doctor", "--json")
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v\n%s%s", err, out, words)
	}
	for _, name := range agent.CheckNames() {
		if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Check == name }) {
			t.Errorf("nothing of %s", name)
		}
	}
	box := []string{"disk", "memory", "clock", "service", "permission"} // of the machine of this test
	for _, f := range found {
		if f.Level == doctor.Problem && !slices.Contains(box, f.Check) {
			t.Errorf("a problem: %+v", f)
		}
	}
	if _, words, code := p.upsagent("doctor", "unit", "plan", "--json"); code != 0 {
		t.Errorf("two checks alone: %d %s", code, words)
	}
}
