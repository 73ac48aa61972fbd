package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/ups/upssim"
)

// A site is three simulated units: one on a serial line, two on TCP.
type site struct {
	dir   string
	pty   *upssim.PTY
	ports []net.Listener
	units []*upssim.Unit
}

// newSite makes them. now is their clock; nil is that of the machine.
func newSite(dir string, speed float64, now func() time.Time) (*site, error) {
	s := &site{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.pty, err = upssim.OpenPTY(filepath.Join(dir, "ttyUPS0")); err != nil {
		return nil, err
	}
	for i, name := range []string{"Rack A", "Rack B", "Rack C"} {
		s.units = append(s.units, upssim.New(upssim.Options{Seed: uint64(i + 1), Name: name, Load: 0.25 + 0.1*float64(i), Speed: speed, Now: now}))
	}
	for range s.units[1:] {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.close()
			return nil, err
		}
		s.ports = append(s.ports, l)
	}
	return s, nil
}

func (s *site) serve(ctx context.Context, g *errgroup.Group) {
	one := func(u *upssim.Unit) map[uint8]*upssim.Unit { return map[uint8]*upssim.Unit{1: u} }
	g.Go(func() error {
		return upssim.ServeSerial(ctx, s.pty, upssim.SerialOptions{Turnaround: 10 * time.Millisecond, StrictGap: true}, one(s.units[0]))
	})
	for i, l := range s.ports {
		g.Go(func() error {
			return upssim.ServeTCP(ctx, l, one(s.units[i+1]), upssim.TCPOptions{Turnaround: 15 * time.Millisecond})
		})
	}
}

// config is what an installer would have written before the site is enrolled: remote orders of two groups are allowed, and reboots may follow each
// other sooner than the two minutes that are usual.
func (s *site) config(o options) string {
	return fmt.Sprintf(`state_dir: %s
units:
  - name: rack-a
    serial: {device: %s}
  - name: rack-b
    tcp: {address: "%s", via: unit}
  - name: rack-c
    tcp: {address: "%s", via: unit}
metrics: {listen: "%s"}
local: {listen: "%s", socket: %s}
orders: {allow: [diagnostics, reboot], min_interval: 2s}
`, filepath.Join(s.dir, "state"), s.pty.Path(), s.ports[0].Addr(), s.ports[1].Addr(), o.metrics, o.page, filepath.Join(s.dir, "agent.sock"))
}

func (s *site) close() {
	s.pty.Close()
	for _, l := range s.ports {
		l.Close()
	}
}
