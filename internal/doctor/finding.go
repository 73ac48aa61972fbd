package doctor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"upsedge/internal/config"
)

// A Level says whether a Finding is one to do something about.
type Level string

// The levels. A note is worth knowing and breaks nothing; a problem keeps something from working, or soon will.
const (
	OK      Level = "ok"
	Note    Level = "note"
	Problem Level = "problem"
)

// A Finding is what a check has found, in words for who stands in front of the box.
type Finding struct {
	Check string `json:"check"`
	Of    string `json:"of,omitempty"` // the unit, port, lane or server that it is about; "": the box
	Level Level  `json:"level"`
	What  string `json:"what"`         // what is wrong, or what is in order
	Do    string `json:"do,omitempty"` // what to do about it: a command or a button where there is one

	// At is the line or host that this rests on, as a path: "net" is the network, "net/host" what is there. A problem hides what it explains at
	// the same place and below; where one of the two has none, everywhere.
	At string `json:"-"`
}

// A Check looks at one thing and changes nothing.
type Check struct {
	Name  string
	After []string // checks that come before it, and whose problems explain those of this one
	Look  func(context.Context) []Finding
}

// lookWithin bounds each check. They run beside each other, so it bounds all of them.
const lookWithin = 8 * time.Second

// Examine runs checks beside each other, all or the named ones, and returns what they found: in the order of the checks, which is that of cause
// and effect, problems first, then notes, and without what another problem explains. It returns within ten seconds; a check that has no answer
// by then is a note. Names that no check has are left out.
func Examine(ctx context.Context, checks []Check, names ...string) []Finding {
	return examine(ctx, lookWithin, checks, names)
}

func examine(ctx context.Context, within time.Duration, checks []Check, names []string) (out []Finding) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found := make([][]Finding, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		if len(names) == 0 || slices.Contains(names, c.Name) {
			all.Go(func() { found[i] = look(ctx, c, within) })
		}
	}
	all.Wait()
	for _, level := range []Level{Problem, Note, OK} {
		for i, c := range checks {
			for _, f := range found[i] {
				if f.Level == level && !explained(f, c.After, found) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// grace is what a check may need to notice that its time is over.
const grace = 500 * time.Millisecond

// look runs one check. What the kernel does not give back, a disk that hangs for instance, is left behind: the program ends soon.
func look(ctx context.Context, c Check, within time.Duration) []Finding {
	done := make(chan []Finding, 1)
	go func() { done <- c.Look(ctx) }()
	var found []Finding
	select {
	case found = <-done:
	case <-ctx.Done():
		select {
		case found = <-done:
		case <-time.After(grace):
			found = []Finding{{Level: Note, What: fmt.Sprintf("no answer in %v: this was not checked", within)}}
		}
	}
	for i := range found {
		found[i].Check = c.Name
	}
	return found
}

// explained reports whether a finding rests on a problem that is told anyway, of one of the checks before it.
func explained(f Finding, after []string, found [][]Finding) bool {
	if f.Level == OK {
		return false
	}
	for _, all := range found {
		for _, cause := range all {
			if cause.Level == Problem && slices.Contains(after, cause.Check) &&
				(cause.At == "" || f.At == "" || cause.At == f.At || strings.HasPrefix(f.At, cause.At+"/")) {
				return true
			}
		}
	}
	return false
}

// LineAt is the At of what rests on the line of a unit.
func LineAt(u config.Unit) string {
	if u.TCP == nil {
		return u.LineKey()
	}
	host, _, _ := net.SplitHostPort(u.TCP.Address)
	if loopback(host) {
		return u.LineKey()
	}
	return network + "/" + u.LineKey()
}

// HostAt is the At of what rests on a host.
func HostAt(host string) string {
	if loopback(host) {
		return host
	}
	return network + "/" + host
}

// Beyond reports whether a host needs a network.
func Beyond(host string) bool { return !loopback(host) }

// loopback hosts are there without any network.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// network is the At of what is wrong with all of it.
const network = "net"
