package order

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// Room in a statement (trust.MaxStatement as it crosses the network, so three quarters of that in bytes), with space for what is not entries.
const (
	entriesRoom = trust.MaxStatement/4*3 - trust.MaxKeyList - 4<<10
	bindSize    = 280 // bytes of an entry without ended grants, at most
	endedSize   = 120 // bytes of an ended grant, at most
)

// Statement is what a session of an agent is told: the devices that are registered with it, each with epoch, the plan in force now, its
// end, the grant version and the actors whose grants have ended. It is for ingest.Options.
func (b *Book) Statement(ctx context.Context, tx *store.Tx, agent string, nonce wire.ID, now time.Time) ([]byte, error) {
	devices, err := device.OfAgent(ctx, tx, agent)
	if err != nil {
		return nil, err
	}
	a, err := loadAgent(ctx, tx, agent)
	if err != nil {
		return nil, err
	}
	s := trust.Statement{Time: now}
	room := entriesRoom - len(devices)*bindSize
	for i := range devices {
		d := &devices[i]
		bind := &trust.Bind{Epoch: d.Epoch, Plan: string(d.PlanAt(now)), ValidUntil: d.EndAt(now), GrantVersion: d.GrantVersion}
		if err := tellEnded(ctx, tx, bind, d, a.confirmed[d.Serial], max(0, min(room/endedSize, trust.MaxEnded))); err != nil {
			return nil, err
		}
		room -= len(bind.Ended) * endedSize
		s.Entries = append(s.Entries, trust.Entry{Device: d.Serial, Bind: bind})
	}
	version, err := b.signer.KeyVersion()
	if err != nil {
		return nil, err
	}
	text, err := b.signer.Statement(ctx, tx, agent, nonce, s)
	if err != nil {
		return nil, err
	}
	tx.After(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told[agent] = told{nonce, version} // a list that came in between has a higher one: it is told again, which harms nobody
	})
	return []byte(text), nil
}

// knowsKeys reports whether an agent was told, on this nonce and by this process, the list of keys that is in force.
func (b *Book) knowsKeys(agent string, nonce wire.ID) (bool, error) {
	version, err := b.signer.KeyVersion()
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told[agent] == told{nonce, version}, nil
}

// tellEnded puts into an entry the actors whose grants have ended, at most as many as it may have. Which are left out where those are not all:
//
//   - of what the agent has confirmed, those that ended longest ago. It has them on its disk; a journal that is
//     younger than a nonce takes no command with it.
//   - of what it has not, none: an entry that has no room for all goes only as far as the version of the last that it has. The agent confirms
//     that, is still behind, and is told the next part (renew). A command that was signed before such an end finds it told, or its nonce gone.
func tellEnded(ctx context.Context, tx *store.Tx, bind *trust.Bind, d *device.Device, has confirmed, most int) error {
	all, err := device.Ended(ctx, tx, d.ID)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(x, y device.EndedGrant) int { return cmp.Compare(x.GrantVersion, y.GrantVersion) })
	known := 0
	if has.epoch == d.Epoch {
		known = sort.Search(len(all), func(i int) bool { return all[i].GrantVersion > has.grant })
	}
	if news := all[known:]; len(news) > most {
		most = max(most, 1) // or there would be no end
		all = news[:most]
		bind.GrantVersion = all[most-1].GrantVersion
	}
	for _, e := range all[max(0, len(all)-most):] {
		bind.Ended = append(bind.Ended, trust.Ended{Actor: e.Actor, GrantVersion: e.GrantVersion})
	}
	return nil
}
