package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"math"
	"slices"

	"upsedge/internal/command"
	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// govern begins or ends the rule of a cloud over the units while the agent runs; another says that there was another cloud before. What was
// stored for nobody, or for that one, is gone when it returns, or no store is open.
func (a *agent) govern(ctx context.Context, enrolled, another bool) {
	a.site.applying.Lock()
	a.site.recorder.writing.Lock() // a write in hand ends before, and the next one knows
	a.site.flusher.mu.Lock()
	began := !a.owners.enrolled.Swap(enrolled) && enrolled
	a.site.flusher.mu.Unlock()
	a.site.recorder.writing.Unlock()
	a.site.ownAll()
	if another {
		a.site.forget()
	}
	a.site.applying.Unlock()
	if !enrolled || !began && !another {
		return
	}
	if s, _, err := a.disk.now(); err == nil {
		if err := a.eraseForeign(ctx, s); err != nil {
			a.disk.drop(s, err) // the next one is opened without it
		}
	}
	if another {
		a.site.untell()
	}
}

// forget drops what waits in memory of units: it was read under another cloud, whose epochs mean nothing to the next one. Nobody owns a unit
// meanwhile. The caller holds applying.
func (s *site) forget() {
	s.recorder.writing.Lock()
	defer s.recorder.writing.Unlock()
	s.flusher.mu.Lock()
	defer s.flusher.mu.Unlock()
	for _, u := range s.all() {
		u.batch.Forget()
	}
	s.flusher.forget()
	s.recorder.forget()
}

// untell makes the alarms of units untold: the next owner is to hear of them, whatever the epoch.
func (s *site) untell() {
	s.applying.Lock()
	defer s.applying.Unlock()
	for _, u := range s.all() {
		u.mu.Lock()
		u.alarms.Untell()
		u.mu.Unlock()
	}
	s.ownAll() // and it is saved
}

// forget drops what is encoded and what is lost. The caller holds mu.
func (f *flusher) forget() {
	f.pending, f.samples, f.lost = nil, nil, map[share]wire.Gap{}
	f.press.forget()
}

// forget drops the events of units. The caller holds writing.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.queue {
		e := &r.queue[i]
		if e.unit == "" {
			continue
		}
		if e.pictured() {
			r.pictures--
		}
		r.events -= len(e.events)
		e.events, e.picture, e.encoded, e.of = nil, nil, nil, 0
	}
	r.queue = slices.DeleteFunc(r.queue, func(e entry) bool { return e.unit != "" && e.saved == nil })
}

// ruler is the cloud's root of trust, nil where there is none or it cannot be read.
func (a *agent) ruler() ed25519.PublicKey {
	if up := a.link.up.Load(); up != nil {
		return up.root
	}
	root, _ := trust.LoadRoot(a.Config.StateDir) // who judges with it says what is wrong with it
	return root
}

// eraseForeign destroys what was stored of units for another cloud, or before there was one: whose it was this one cannot know, and a device
// may well have an epoch of the same number there (design, section 5; DEV-4). What an enrolled agent puts of a unit has an epoch.
func (a *agent) eraseForeign(ctx context.Context, s *store.Store) error {
	root, through := a.ruler(), uint32(0)
	was, err := s.Ruler(ctx)
	if damaged := (*store.CorruptError)(nil); errors.As(err, &damaged) {
		err, was = nil, nil
	}
	if err != nil {
		return err
	}
	if root != nil && !bytes.Equal(was, root) {
		through = math.MaxUint32
	}
	units, err := s.Held(ctx, through)
	if err != nil {
		return err
	}
	for _, unit := range units {
		gone, err := s.Erase(ctx, unit, through)
		if err != nil {
			return err
		}
		a.Log.Warn("what was stored of a unit before this cloud is erased", "unit", unit, "samples", gone.Samples, "events", gone.Events)
	}
	if through == 0 {
		return nil
	}
	if was != nil && a.orders == nil { // at the start
		if err := command.Forget(ctx, command.Options{Dir: a.Config.StateDir, Clock: a.clock, Log: a.Log}); err != nil {
			return err
		}
	}
	return s.SetRuler(ctx, root)
}
