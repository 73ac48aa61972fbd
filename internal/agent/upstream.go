package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/config"
	"upsedge/internal/enroll"
	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/uplink"
)

// An upstream is where records go: a broker, who we are there, and by what files. Another one takes its place while the agent runs, when it
// is enrolled for instance; what waits in the store waits for it.
type upstream struct {
	cfg    *config.Uplink // nil: nowhere
	name   string         // "": not known yet
	expiry *time.Time     // of our certificate; nil: none
	files  *uplink.Credentials
	root   ed25519.PublicKey // of the cloud; nil: none, or one that cannot be read

	end  context.CancelFunc // of a started one
	done chan struct{}
}

// newUpstream finds out what only a person can mend: files of the certificate that cannot be used.
func (a *agent) newUpstream(ctx context.Context, cfg *config.Uplink) (*upstream, error) {
	up := &upstream{cfg: cfg}
	name, expiry, err := agentID(ctx, cfg, a.disk)
	switch {
	case err == nil:
		up.name = name
	case !errors.Is(err, errNoStore) && !errors.Is(err, store.ErrDisk):
		return nil, err
	}
	up.expiry = expiry
	up.root, _ = trust.LoadRoot(a.Config.StateDir) // who judges with it says what is wrong with it
	if cfg != nil && secure(cfg) {
		if up.files, err = brokerTLS(cfg); err != nil {
			return nil, err
		}
	}
	return up, nil
}

// take makes it the one that others see.
func (l *link) take(up *upstream) {
	l.up.Store(up)
	if l.name.Store(nil); up.name != "" {
		l.name.Store(&up.name)
	}
	l.certExpiry.Store(up.expiry)
	l.session.Store(nil)
}

// startUpstream lets the uplink work until ctx ends; the session itself until sending does, which is later. It is called by one goroutine of g
// at a time.
func (a *agent) startUpstream(ctx, sending context.Context, g *errgroup.Group) {
	up := a.link.up.Load()
	sending, endSession := context.WithCancel(sending)
	ctx, endRest := context.WithCancel(ctx)
	up.done = make(chan struct{})
	up.end = func() {
		endSession()
		endRest()
	}
	g.Go(func() error {
		defer close(up.done)
		defer up.end()
		parts, _ := errgroup.WithContext(ctx)
		parts.Go(func() error { return a.orders.Run(ctx) })
		if up.cfg == nil {
			return parts.Wait()
		}
		parts.Go(func() error {
			defer endRest() // an error of it ends the others
			return a.send(sending)
		})
		if up.files != nil {
			parts.Go(func() error { return a.link.followFiles(ctx, up.files, a.own.certificate, a.Log) })
			if r := enroll.NewRenewer(a.Config.StateDir, up.cfg.CertFile, a.clock.Certificates, a.Log); r != nil {
				parts.Go(func() error { return r.Run(ctx) })
			}
		}
		return parts.Wait()
	})
}

// lead leads the uplink to where the configuration says, if that is elsewhere now.
func (a *agent) lead(ctx, sending context.Context, g *errgroup.Group, cfg *config.Uplink) error {
	up, err := a.newUpstream(ctx, cfg)
	if err != nil {
		a.Log.Error("the uplink stays as it was", "err", err)
		return nil
	}
	was := a.link.up.Load()
	if reflect.DeepEqual(was.cfg, up.cfg) && was.root.Equal(up.root) && was.name == up.name {
		return nil
	}
	was.end()
	<-was.done
	a.link.take(up)
	another := was.root != nil && !was.root.Equal(up.root)
	if err := a.reopenOrders(ctx, another); err != nil {
		return err
	}
	a.govern(ctx, up.cfg != nil && trust.Enrolled(a.Config.StateDir), another)
	a.own.led(up.cfg)
	a.startUpstream(ctx, sending, g)
	if up.cfg == nil {
		a.Log.Info("the uplink has ended; what is recorded waits")
	} else {
		a.Log.Info("the uplink leads elsewhere now", "broker", up.cfg.Broker, "agent", up.name, "cloud", up.root != nil)
	}
	return nil
}

// ordersDir is where the journal of orders is: with the agent that a cloud knows, whose counters it has; with another enrolment begins another.
func (a *agent) ordersDir(up *upstream) string {
	if up.cfg == nil {
		return a.Config.StateDir
	}
	if _, err := enroll.Present(a.Config.StateDir, up.cfg.CertFile); err == nil {
		return filepath.Dir(up.cfg.CertFile)
	}
	return a.Config.StateDir
}

// journals are the directories that may have the journal of another enrolment, or of the time without any.
func (a *agent) journals() []string {
	return append(enroll.Dirs(a.Config.StateDir), a.Config.StateDir)
}
