package device

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Defaults and bounds.
const (
	DefaultTrial = 90 * 24 * time.Hour  // of the free period (PLAN-13)
	trialRest    = 365 * 24 * time.Hour // from the beginning of one free period to the next of the same serial
	recently     = 5 * time.Minute      // since an agent's last full state, for it to prove possession: heartbeats come each minute
)

// Config says how devices are registered.
type Config struct {
	Trial time.Duration    // of a new device; 0: DefaultTrial; less: none
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: nothing is logged
	Mail  *mail.Queue      // for letters about shares that have ended; nil: none are written
	URL   string           // where people find the cloud: it stands in letters
}

// A Registry registers devices and changes them. Use New.
type Registry struct {
	trial time.Duration
	now   func() time.Time
	log   *slog.Logger
	mail  *mail.Queue
	url   string

	mu    sync.Mutex
	after []func(agent string) // behind the commit; what follows is called in the transaction

	onGrantEnd  []func(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error
	onDeviceEnd []func(ctx context.Context, tx *store.Tx, d *Device) error
	onPlanEnd   []func(ctx context.Context, tx *store.Tx, d *Device, old policy.Plan, end time.Time) error
	onWarning   []func(ctx context.Context, tx *store.Tx, d *Device, days int) error

	wake chan struct{} // of Run
}

// New returns a Registry.
func New(c Config) *Registry {
	r := &Registry{trial: cmp.Or(c.Trial, DefaultTrial), now: c.Now, log: c.Log, mail: c.Mail, url: c.URL, wake: make(chan struct{}, 1)}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// AfterChange has f called behind the commit of each change that an agent is to be told of: registrations, grants, plans. It must not wait.
func (r *Registry) AfterChange(f func(agent string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = append(r.after, f)
}

func (r *Registry) changed(tx *store.Tx, agent string) {
	r.mu.Lock()
	after := r.after
	r.mu.Unlock()
	for _, f := range after {
		tx.After(func() { f(agent) })
	}
}

// entry begins an entry of the Event Log.
func entry(actor cloud.Actor, role policy.Role, action string) eventlog.Entry {
	return eventlog.Entry{Actor: actor.Ref, Role: role, Action: action, Request: actor.Request}
}

// text is an instant in a parameter of the Event Log.
func text(t time.Time) string {
	if t.Equal(Forever) {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
