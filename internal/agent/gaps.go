package agent

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// reportGaps turns what earlier runs left unfinished into gap records: the cloud learns which samples will never come. They end
// where the samples of this run begin. Where the store does not know since when, the zero stamp says so. What cannot be said yet, because
// the store refuses or because it is not known whose the unit is, stays owed: see settleGaps.
func (a *agent) reportGaps(ctx context.Context, s *store.Store, from func(unit string) wire.Stamp) error {
	if name := s.SetAside(); name != "" || a.disk.lostStream(s) {
		a.Log.Error("the database was lost and a new stream has begun", "set_aside", name)
	}
	for _, i := range s.Crashed() {
		of, certain := a.lastOwner(ctx, s, i.Unit)
		if !certain {
			continue
		}
		if (i.Resumed == wire.Stamp{}) {
			i.Resumed = from(i.Unit)
		}
		if err := a.reportGap(ctx, s, i, of); errors.Is(err, store.ErrBroken) {
			return err
		} else if err != nil { // a full disk keeps no unit from being polled
			a.Log.Error("a gap record cannot be stored", "unit", i.Unit, "err", err)
		}
	}
	return nil
}

// reportGap says what of an owner is lost, up to where samples go on, and nothing of nobody's.
func (a *agent) reportGap(ctx context.Context, s *store.Store, i store.Interrupted, of sampler.Owner) error {
	if of.Local {
		return s.Forgo(ctx, i)
	}
	reason := wire.GapCrash
	if i.Last == (wire.Stamp{}) {
		reason = wire.GapDamage
	}
	err := s.PutUnitGap(ctx, of.Epoch, wire.Gap{Unit: i.Unit, From: i.Last, To: i.Resumed, Reason: reason}, i.Resumed)
	switch {
	case err != nil:
	case reason == wire.GapCrash:
		a.Log.Warn("the agent was stopped without warning; a gap record names the samples that are lost", "unit", i.Unit)
	default:
		a.Log.Warn("a gap record says that samples may be lost, since when nobody knows", "unit", i.Unit)
	}
	return err
}

// lastOwner returns whose a unit of that name is, or was when it was read last, and whether that is certain.
func (a *agent) lastOwner(ctx context.Context, s *store.Store, name string) (of sampler.Owner, certain bool) {
	for _, u := range a.site.all() {
		if u.cfg.Name == name {
			return u.lastOwner()
		}
	}
	// It is not in the configuration any more, and will not say who it is.
	saved, _, err := a.knownTo(ctx, s, name)
	if err != nil {
		return of, false
	}
	var e alarm.Engine
	e.Recall(saved)
	return a.owners.was(&e), a.owners.certain()
}

// settleGaps reports until ctx ends what stayed owed, once it is known whose the unit is and where its samples go on.
func (a *agent) settleGaps(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.settle(context.WithoutCancel(ctx))
		}
	}
}

func (a *agent) settle(ctx context.Context) {
	_ = a.disk.with(func(s *store.Store) error { // what fails is tried again
		for _, i := range s.Crashed() {
			of, certain := a.lastOwner(ctx, s, i.Unit)
			if !certain || (i.Resumed == wire.Stamp{}) && !of.Local {
				continue
			}
			if err := a.reportGap(ctx, s, i, of); errors.Is(err, store.ErrBroken) {
				return err
			}
		}
		return nil
	})
}
