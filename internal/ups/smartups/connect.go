package smartups

import (
	"context"
	"fmt"
	"slices"

	"upsedge/internal/ups"
)

// Connect finds out who answers and what it can say, and returns the plan of this unit: the reads of every tier with their
// cost on this line. It reads the verification block, whose constants and map it must know, then who the unit is and which
// outlet groups it has, and then every block once, so that the plan is known to work and Connected has a reading of
// everything. On a 9600 baud line that takes about a second.
//
// Reads include undefined registers where that saves time. A unit that refuses such a read is read without them from then on;
// an item that it refuses by itself is left out until the next Connect.
//
// A read that fails is made up to three times, but where the very first one meets silence there is no unit, and Connect ends.
// What was read after a failure counts only if the verification block came in after it as well.
//
// seen, if it is not nil, is handed the readings of Connected as soon as they count, long before Connect has made them all: first
// who the unit is, texts in front, then its status and the rest. So a unit on battery is known as such by its fifth answer.
//
// The error is an *UnsupportedError where no Smart-UPS of a known map answers, and otherwise as that of Read.
func (d *Driver) Connect(ctx context.Context, seen func(*ups.Reading)) ([]ups.Block, error) {
	d.reads, d.connected, d.identity, d.seen = nil, nil, ups.Identity{}, sighting{}
	d.about.Store(nil)
	d.constant, d.profile = map[ups.Point]string{}, profile{card: d.cfg.Card, groups: everyGroup, spoken: map[uint16]bool{}}
	d.connecting = true
	err := d.connect(ctx, seen)
	d.connecting = false
	if err != nil {
		d.reads, d.connected = nil, nil
		return nil, fmt.Errorf("connect to %s: %w", d.cfg.Name, err)
	}
	d.about.Store(&about{serial: d.identity.Serial, sku: d.identity.SKU, profile: d.profile, noHoles: d.noHoles})
	plan := d.Costs()
	d.cfg.Log.Debug("unit identified", "model", d.identity.Model, "firmware", d.identity.Firmware, "reads", len(plan))
	return plan, nil
}

func (d *Driver) connect(ctx context.Context, seen func(*ups.Reading)) error {
	handed := 0
	hand := func() {
		if d.trust == inStep && seen != nil {
			for _, r := range d.connected[handed:] {
				seen(r)
			}
			handed = len(d.connected)
		}
	}
	verification, err := d.identify(ctx)
	if err != nil {
		return err
	}
	link := d.cfg.Line.Links()
	pl := newPlanner(d.timing(), d.profile)
	pl.holes = !d.noHoles
	identity, err := d.prove(ctx, pl, ups.TierIdentity)
	if err != nil {
		return err
	}
	// Where the link was another one meanwhile the serial number is checked before anything else. Another one twice is not a
	// unit swapped but the way of this one.
	d.seen = sighting{link: link, at: d.cfg.Now(), lasted: d.cfg.Line.Links() < link+2}
	pl.p = d.remember()
	for i, rd := range identity {
		identity[i] = rd.narrow(pl.p, d.connected[1+i])
	}
	slices.SortStableFunc(d.connected, func(a, b *ups.Reading) int { return texts(b) - texts(a) })
	hand()
	pl.take(identity)
	d.profile = pl.p
	d.reads, d.others = pl.tier(ups.TierWatch), others{}
	for _, rd := range d.reads {
		d.others[rd] = pl.another(rd.span)
	}
	pl.take(d.reads)
	for _, t := range []ups.Tier{ups.TierStatus, ups.TierLive, ups.TierSettings} {
		reads, err := d.prove(ctx, pl, t)
		if err != nil {
			return err
		}
		pl.take(reads)
		d.reads = append(d.reads, reads...)
		hand()
	}
	d.reads = append(append(d.reads, verification), identity...)
	if err := d.resynchronise(ctx); err != nil { // if the last read had to be repeated
		return err
	}
	hand()
	return nil
}

// texts is 1 for a reading with texts, else 0.
func texts(r *ups.Reading) int {
	if r.Text != nil {
		return 1
	}
	return 0
}

// identify makes sure that a Smart-UPS of a known map answers.
func (d *Driver) identify(ctx context.Context) (*read, error) {
	rd := verifyRead()
	d.trust = unsure
	asked := d.cfg.Now()
	words, err := d.once(ctx, rd.span)
	for n := 1; n < mostTries && (garbled(err) || n == 1 && d.connecting && refused(err)) && ctx.Err() == nil; n++ {
		words, err = d.once(ctx, rd.span)
	}
	answered := d.cfg.Now()
	switch {
	case refused(err):
		return nil, &UnsupportedError{fmt.Sprintf("no verification block at %d (%v)", verifyAddr, err)}
	case err != nil:
		return nil, err
	}
	mapID, err := verify(words)
	if err != nil {
		return nil, &UnsupportedError{"not the register map of a Smart-UPS: " + err.Error()}
	}
	if mapID != knownMap {
		return nil, &UnsupportedError{fmt.Sprintf("register map %q, and only %q is known", mapID, knownMap)}
	}
	d.trust = inStep
	r := &ups.Reading{Unit: d.cfg.Name, Tier: rd.tier, At: answered, Took: answered.Sub(asked)}
	rd.decode(words, d.profile, r)
	d.connected = append(d.connected, r)
	return rd, nil
}

// prove plans the reads of a tier and makes each once, and plans again while the unit refuses some.
func (d *Driver) prove(ctx context.Context, pl *planner, t ups.Tier) ([]*read, error) {
	for {
		reads := pl.tier(t)
		readings, refused, err := d.try(ctx, reads)
		if err != nil {
			return nil, err
		}
		if refused == nil {
			d.connected = append(d.connected, readings...)
			return reads, nil
		}
		if err := d.retreat(ctx, pl, refused); err != nil {
			return nil, err
		}
	}
}

// try makes every read once. It stops at the first that is refused with exception 2. A controller that restarts refuses
// everything for a second or two (protocol reference, section 3.6), and what is left out now is left out until the next Connect:
// so a refusal counts when the unit answers the verification block and then refuses again.
func (d *Driver) try(ctx context.Context, reads []*read) (readings []*ups.Reading, refused *read, err error) {
	for _, rd := range reads {
		r := &ups.Reading{}
		err := d.readInStep(ctx, rd, r)
		if exception(err) == illegalAddress {
			d.trust = max(d.trust, outOfStep)
			err = d.readInStep(ctx, rd, r)
		}
		switch {
		case exception(err) == illegalAddress:
			return nil, rd, nil
		case err != nil:
			return nil, nil, fmt.Errorf("read %s %s: %w", rd.tier, rd.name, err)
		}
		readings = append(readings, r)
	}
	return readings, nil, nil
}

// retreat changes what may be planned after a unit refused rd: an item that was asked for by itself no more; otherwise first
// no more undefined registers, then the items of the read only one by one, without those that are refused. Each call forbids
// something, so that prove comes to an end.
func (d *Driver) retreat(ctx context.Context, pl *planner, rd *read) error {
	if len(rd.fields) == 1 && rd.count == rd.fields[0].words {
		return d.leaveOut(pl, rd.fields[0].register)
	}
	if pl.holes && !pl.certain(rd.span) {
		d.cfg.Log.Info("unit refuses reads with undefined registers", "read", rd.name)
		pl.holes, d.noHoles = false, true
		return nil
	}
	for _, f := range rd.fields {
		alone := newRead(rd.tier, span{f.addr, f.words}, []*register{f.register})
		_, refused, err := d.try(ctx, []*read{alone})
		if err != nil {
			return err
		}
		if refused != nil {
			if err := d.leaveOut(pl, f.register); err != nil {
				return err
			}
		}
		pl.alone[f.addr] = true
	}
	return nil
}

// leaveOut takes an item that the unit refuses out of the plan.
func (d *Driver) leaveOut(pl *planner, r *register) error {
	switch r.point {
	case ups.StatusFlags, ups.StatusCause:
		return &UnsupportedError{fmt.Sprintf("it refuses %s", r.point)}
	}
	d.cfg.Log.Info("unit refuses an item", "point", r.point.String(), "register", r.addr)
	pl.refused[r.addr] = true
	return nil
}

// remember keeps what cannot change and who the unit is, and returns what that says about its values.
func (d *Driver) remember() profile {
	s := ups.NewState()
	for _, r := range d.connected {
		s.Apply(r)
	}
	d.identity = s.Identity()
	for _, p := range []ups.Point{ups.Model, ups.SKU, ups.Serial, ups.MapID} {
		if t := s.Text(p); t != "" {
			d.constant[p] = t
		}
	}
	for _, p := range []ups.Point{ups.NominalApparentPower, ups.NominalPower, ups.OutletConfig} {
		if v, ok := s.Raw(p); ok {
			d.constant[p] = fmt.Sprint(v)
		}
	}
	p := d.profile
	p.family, p.groups = familyOf(s.Text(ups.SKU)), uint16(s.Flags(ups.OutletConfig))
	return p
}
