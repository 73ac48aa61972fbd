package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
)

// A busyLine is a line that the running agent has, with the units it reads there by their slave addresses. It is not asked a
// second time: many units serve one client, and the agent's samples would suffer.
type busyLine map[uint8]busyUnit

type busyUnit struct {
	cfg  config.Unit
	seen local.Unit
}

// lineKey is the LineKey with the port behind all names of it: an agent may know it as /dev/serial/by-id/….
func lineKey(u config.Unit) string {
	if u.Serial != nil {
		if real, err := filepath.EvalSymlinks(u.Serial.Device); err == nil {
			return "serial:" + real
		}
	}
	return u.LineKey()
}

// askAgent returns the lines of the agent that runs with this configuration, none if it does not run.
func askAgent(ctx context.Context, cli *common) map[string]busyLine {
	cfg, err := cli.load()
	if err != nil || cfg.Local.Socket == "" {
		return nil
	}
	st, err := local.Ask(ctx, cfg.Local.Socket, true)
	if err != nil {
		return nil
	}
	out := map[string]busyLine{}
	for _, u := range cfg.Units {
		for _, seen := range st.Units {
			if seen.Name != u.Name {
				continue
			}
			key := lineKey(u)
			if out[key] == nil {
				out[key] = busyLine{}
			}
			out[key][u.UnitID] = busyUnit{u, seen}
		}
	}
	return out
}

// note takes what the agent knows for the answer of a candidate.
func (s *searcher) note(c candidate, busy busyLine) {
	b, ok := busy[c.unit.UnitID]
	switch {
	case !ok:
		s.done(found{}, failure{c, fmt.Errorf("the running agent has this line (unit %s): systemctl stop upsagent, and probe again", busy.anyName())})
	case b.seen.Age == nil:
		words := fmt.Sprintf("the running agent has this line and has not read %s yet: %s", b.seen.Name, b.seen.Failure)
		s.done(found{}, failure{c, errors.New(strings.TrimSuffix(words, ": "))})
	default:
		s.done(b.found(), failure{candidate: c})
	}
}

func (b busyLine) anyName() string {
	for _, u := range b {
		return u.cfg.Name
	}
	return ""
}

func (b busyUnit) found() found {
	f := foundAt(b.cfg)
	f.Unit, f.Model, f.SKU, f.Number, f.Firmware = b.cfg.Name, b.seen.Model, b.seen.SKU, b.seen.Serial, b.seen.Firmware
	f.ByAgent, f.values, f.condition, f.silent = true, b.seen.Values, b.seen.Condition, b.seen.Failure
	return f
}

// explain says what a failure means, and of a port in use by whom.
func explain(u config.Unit, err error) string {
	words := agent.Advice(u, err)
	if u.Serial != nil && (errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EBUSY)) {
		if who := holders(u.Serial.Device); who != "" {
			words += ". It is " + who
		}
	}
	return words
}

// holders names the processes that have the port open, as far as this user may look.
func holders(device string) string {
	var who []string
	for _, h := range doctor.Root("/").Holders(device) {
		who = append(who, h.String())
	}
	return strings.Join(who, ", ")
}
