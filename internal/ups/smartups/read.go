package smartups

import (
	"fmt"
	"strings"
	"sync"

	"upsedge/internal/ups"
)

// A read is one block of a unit's plan, ready to be made. Nobody changes it: units of one kind share it.
type read struct {
	span
	tier   ups.Tier
	name   string // "0/27"
	fields []field
	layout ups.Layout
	text   bool // some field is a text
}

// A field is an item of a read.
type field struct {
	*register
	off uint16 // of its first register in the reply
}

// newRead returns the read of s for a tier: it brings those of the items that lie in it.
func newRead(t ups.Tier, s span, items []*register) *read {
	var inside []*register
	key := new(strings.Builder)
	fmt.Fprint(key, t, s)
	for _, r := range items {
		if r.addr >= s.addr && r.end() <= s.addr+s.count {
			inside = append(inside, r)
			fmt.Fprint(key, " ", r.addr)
		}
	}
	reads.Lock()
	defer reads.Unlock()
	if rd := reads.made[key.String()]; rd != nil {
		return rd
	}
	rd := makeRead(t, s, inside)
	if len(reads.made) < mostReads {
		reads.made[key.String()] = rd
	}
	return rd
}

// reads are those made so far: a site of a thousand units has two dozen different ones, and their layouts are what everything
// behind the driver keeps things by.
var reads = struct {
	sync.Mutex
	made map[string]*read
}{made: map[string]*read{}}

// mostReads bounds what is shared, should a unit refuse other items each time.
const mostReads = 1024

func makeRead(t ups.Tier, s span, items []*register) *read {
	rd := &read{span: s, tier: t, name: s.String()}
	for _, r := range items {
		rd.fields = append(rd.fields, field{r, r.addr - s.addr})
		rd.layout.Columns = append(rd.layout.Columns, ups.Column{Point: r.point, Divisor: r.div})
		rd.text = rd.text || !r.numeric()
	}
	return rd
}

// verifyRead is the read of the verification block.
func verifyRead() *read {
	var items []*register
	for i := range registers {
		if r := &registers[i]; r.addr >= verifyAddr && r.point != 0 {
			items = append(items, r)
		}
	}
	return newRead(ups.TierIdentity, span{verifyAddr, verifyCount}, items)
}

// narrow returns the read without the items that the unit turned out not to have, and takes them out of what it said.
func (rd *read) narrow(p profile, said *ups.Reading) *read {
	var items []*register
	var raw []int64
	var texts []string
	for i, f := range rd.fields {
		if p.wants(f.register) {
			items, raw = append(items, f.register), append(raw, said.Raw[i])
			if said.Text != nil {
				texts = append(texts, said.Text[i])
			}
		}
	}
	if len(items) == len(rd.fields) || len(items) == 0 {
		return rd
	}
	first, last := items[0], items[len(items)-1]
	less := newRead(rd.tier, span{first.addr, last.end() - first.addr}, items)
	said.Layout, said.Raw, said.Text = &less.layout, raw, texts
	return less
}

// has tells whether the outlet group exists.
func (p profile) has(g ups.Group) bool { return p.groups&(1<<(g-ups.MainGroup)) != 0 }

// wants tells whether the item holds something on a unit of this profile. The product id is undocumented, and a card may
// refuse a read of an undefined register.
func (p profile) wants(r *register) bool {
	g := r.point.Info().Group
	switch {
	case r.point == 0:
		return false
	case g != ups.NoGroup:
		return p.has(g)
	}
	return !p.card || r.fam != unlisted
}

// wanted returns the items of a tier on a unit of this profile, but not those of the verification block.
func wanted(t ups.Tier, p profile) []*register {
	var out []*register
	for i := range registers {
		r := &registers[i]
		watch := r.point == ups.StatusFlags || r.point == ups.StatusCause
		if p.wants(r) && r.addr < verifyAddr && (r.tier == t || t == ups.TierWatch && watch) {
			out = append(out, r)
		}
	}
	return out
}
