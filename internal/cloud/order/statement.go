package order

import (
	"context"
	"slices"
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
	s := trust.Statement{Time: now}
	room := entriesRoom - len(devices)*bindSize
	for i := range devices {
		d := &devices[i]
		bind := &trust.Bind{Epoch: d.Epoch, Plan: string(d.PlanAt(now)), ValidUntil: d.EndAt(now), GrantVersion: d.GrantVersion}
		if bind.Ended, err = ended(ctx, tx, d, max(0, room/endedSize)); err != nil {
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

// ended are the latest of the grants that ended, at most as many as an entry may have. What is left out ended longest ago: a command
// that old has no session left that would take it.
func ended(ctx context.Context, tx *store.Tx, d *device.Device, most int) (out []trust.Ended, err error) {
	all, err := device.Ended(ctx, tx, d.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		out = append(out, trust.Ended{Actor: e.Actor, GrantVersion: e.GrantVersion})
	}
	slices.SortStableFunc(out, func(x, y trust.Ended) int { return int(y.GrantVersion) - int(x.GrantVersion) })
	return out[:min(len(out), most, trust.MaxEnded)], nil
}
