package upssim

// A Family describes one of SKUs() for people.
type Family struct {
	SKU    string
	Name   string // SMT, SMX, SRT, SURTD, SMC
	From   string // where what is simulated comes from
	Column bool   // 990-9840B has a column for the family
	TCP    string // whether it has a Modbus TCP port of its own
}

// Families describes the models in the order of SKUs().
func Families() []Family {
	var out []Family
	for _, f := range families {
		out = append(out, Family{SKU: f.sku, Name: f.name, From: f.from, Column: !f.guess, TCP: f.tcp})
	}
	return out
}

// A Presence says what a model makes of one item of the map.
type Presence struct {
	Address uint16
	Item    string // as in the vendor's map
	Has     bool   // the model has it
	Defined bool   // its firmware knows the address; true where Has is
	Source  string // who says so: 990 (990-9840B), 590 (the groups register), FIELD, INF (a guess)
}

// Items says of every item of the map, in address order, what the model of this SKU makes of it. It returns nil for a SKU
// that is not one of SKUs().
func Items(sku string) []Presence {
	f, ok := familyOf(sku)
	if !ok {
		return nil
	}
	var out []Presence
	for i := range items {
		p, source := f.presence(&items[i])
		out = append(out, Presence{Address: items[i].addr, Item: items[i].name, Has: p == present, Defined: p != unknown, Source: source})
	}
	return out
}
