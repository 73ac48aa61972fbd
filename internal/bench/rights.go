package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A rightsTime is how long a change of who may do what takes until it holds: in the cloud, which refuses or allows the other's next request,
// and on site, which has confirmed it to the cloud. Both are counted from the first byte of the change, so that requests, commits and the start of a
// command are in it.
type rightsTime struct {
	What    string  `json:"what"`
	Changes int     `json:"changes"`
	Cloud   spread  `json:"cloud"`
	Site    spread  `json:"site"`
	Load    float64 `json:"load"` // of the machine behind it
}

// A spread is of milliseconds, not none.
type spread struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func spreadOf(all []float64) spread {
	slices.Sort(all)
	rank := func(percent int) float64 { return all[(percent*len(all)+99)/100-1] } // the nearest: p99 of 100 is the one before the longest
	return spread{rank(50), rank(99), rank(100)}
}

const (
	rightsUnits = 10
	// rightsLook is how often the device is asked what the site has confirmed: it is part of what is measured.
	rightsLook = 10 * time.Millisecond
	// rightsSpread is the time in which commands of an operator fall, at random: the server looks for them every two seconds, and the one
	// after the other would always begin right behind such a look.
	rightsSpread = 2 * time.Second
	rightsWithin = 2 * time.Minute
)

// A taken is one change: until in force in the cloud, until confirmed, in milliseconds.
type taken struct{ cloud, site float64 }

// rights measures TIME-1 and TIME-2 of the rules on one site.
func (b *bench) rights(ctx context.Context) (out []rightsTime, err error) {
	rounds := 10
	if b.quick {
		rounds = 1
	}
	s, err := b.newRightsSite(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	revoked, err := s.revocations(ctx, rounds)
	if err != nil {
		return nil, s.why("revocations", err)
	}
	out = append(out, rightsOf("revocation, by HTTP", revoked))
	if err := s.share(ctx); err != nil { // the plans change under somebody's eyes
		return nil, s.why("sharing", err)
	}
	var set, licensed []taken
	for range rounds {
		one, err := s.each(ctx, rightsSpread, s.toBasic)
		if err != nil {
			return nil, s.why("plan set", err)
		}
		set = append(set, one...)
		if one, err = s.licences(ctx); err != nil {
			return nil, s.why("licences", err)
		}
		licensed = append(licensed, one...)
	}
	return append(out, rightsOf("plan set, by a command beside the server", set), rightsOf("licence, by HTTP", licensed)), nil
}

func rightsOf(what string, all []taken) rightsTime {
	var cloud, site []float64
	for _, t := range all {
		cloud, site = append(cloud, t.cloud), append(site, t.site)
	}
	return rightsTime{What: what, Changes: len(all), Cloud: spreadOf(cloud), Site: spreadOf(site), Load: load()}
}

// revocations shares all devices by one invitation and takes them back one by one, rounds times.
func (s *rightsSite) revocations(ctx context.Context, rounds int) (out []taken, err error) {
	for range rounds {
		if err := s.share(ctx); err != nil {
			return nil, err
		}
		for _, d := range s.devices {
			var list struct{ Shares []struct{ ID string } }
			if err := s.ann.want(ctx, http.StatusOK, http.MethodGet, "/devices/"+d.id+"/shares", nil, &list); err != nil {
				return nil, err
			}
			if len(list.Shares) != 1 {
				return nil, fmt.Errorf("%d shares of %s", len(list.Shares), d.id)
			}
			began := time.Now()
			if err := s.ann.want(ctx, http.StatusNoContent, http.MethodDelete, "/devices/"+d.id+"/shares/"+list.Shares[0].ID, nil, nil); err != nil {
				return nil, err
			}
			if err := s.bob.refused(ctx, "NOT_FOUND", http.MethodGet, "/devices/"+d.id, nil); err != nil {
				return nil, err
			}
			if err := s.bob.refused(ctx, "NOT_FOUND", http.MethodPost, "/devices/"+d.id+"/orders", rebootNow); err != nil {
				return nil, err
			}
			t := taken{cloud: ms(time.Since(began))}
			if err := s.confirmed(ctx, d.id); err != nil {
				return nil, err
			}
			t.site = ms(time.Since(began))
			out = append(out, t)
		}
	}
	return out, nil
}

// rebootNow is what nobody here may order.
var rebootNow = map[string]any{"action": "reboot.ups", "params": map[string]string{"delay": "none"}}

// each changes all devices at random moments within a stretch of time.
func (s *rightsSite) each(ctx context.Context, within time.Duration, change func(ctx context.Context, d rightsDevice) (taken, error)) ([]taken, error) {
	out := make([]taken, len(s.devices))
	g, ctx := errgroup.WithContext(ctx)
	for i, d := range s.devices {
		g.Go(func() (err error) {
			if err := pause(ctx, rand.N(within)); err != nil {
				return err
			}
			out[i], err = change(ctx, d)
			return err
		})
	}
	return out, g.Wait()
}

// toBasic is the operator's command, a process of its own beside the server, which has to find out.
func (s *rightsSite) toBasic(ctx context.Context, d rightsDevice) (t taken, err error) {
	began := time.Now()
	if out, err := exec.CommandContext(ctx, s.program, "--config", s.config, "plan", "set", d.serial, "basic").CombinedOutput(); err != nil {
		return t, fmt.Errorf("upscloud plan set: %w: %s", err, out)
	}
	if err := s.bob.refused(ctx, "PLAN_BASIC", http.MethodPost, "/devices/"+d.id+"/orders", rebootNow); err != nil {
		return t, err
	}
	t.cloud = ms(time.Since(began))
	err = s.confirmed(ctx, d.id)
	t.site = ms(time.Since(began))
	return t, err
}

// licences has the other apply a licence of Advanced to every device, one after the other.
func (s *rightsSite) licences(ctx context.Context) (out []taken, err error) {
	text, err := exec.CommandContext(ctx, s.program, "--config", s.config, "licence", "issue", "--plan", "advanced", "--days", "30",
		"--count", fmt.Sprint(len(s.devices))).Output()
	if err != nil {
		return nil, fmt.Errorf("upscloud licence issue: %w", err)
	}
	codes := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, d := range s.devices {
		code, _, _ := strings.Cut(codes[i], "\t")
		began := time.Now()
		if err := s.bob.want(ctx, 0, http.MethodPost, "/devices/"+d.id+"/licences", map[string]string{"code": code}, nil); err != nil {
			return nil, err
		}
		var now struct{ Plan string }
		if err := s.bob.want(ctx, http.StatusOK, http.MethodGet, "/devices/"+d.id, nil, &now); err != nil {
			return nil, err
		}
		if now.Plan != "advanced" {
			return nil, fmt.Errorf("the plan is %q behind a licence of advanced", now.Plan)
		}
		t := taken{cloud: ms(time.Since(began))}
		if err := s.confirmed(ctx, d.id); err != nil {
			return nil, err
		}
		t.site = ms(time.Since(began))
		out = append(out, t)
	}
	return out, nil
}

// confirmed waits until the site has confirmed what the cloud has of a device.
func (s *rightsSite) confirmed(ctx context.Context, id string) error {
	for began := time.Now(); time.Since(began) < rightsWithin; {
		var now struct {
			Confirmed *struct {
				InForce bool `json:"in_force"`
			}
		}
		if err := s.ann.want(ctx, http.StatusOK, http.MethodGet, "/devices/"+id, nil, &now); err != nil {
			return err
		}
		if now.Confirmed != nil && now.Confirmed.InForce {
			return nil
		}
		if err := pause(ctx, rightsLook); err != nil {
			return err
		}
	}
	return fmt.Errorf("the site has not confirmed what holds for %s within %v", id, rightsWithin)
}

func judgeRights(all []rightsTime, most func(what, format string, target, value float64)) {
	for _, t := range all {
		rule, target := "TIME-2", 60.0
		if strings.HasPrefix(t.What, "revocation") {
			rule, target = "TIME-1", 5
		}
		most(fmt.Sprintf("%s: %s → in force in the cloud, p99", rule, t.What), "%.3f s", target, t.Cloud.P99/1e3)
		most(fmt.Sprintf("TIME-2: %s → confirmed on site, p99 (normally 5 s)", t.What), "%.3f s", 60, t.Site.P99/1e3)
	}
}

func printRights(w io.Writer, all []rightsTime) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\nWho may do what, changed, on a connected site of %d units on TCP; from the beginning of the change:\n", rightsUnits)
	for _, t := range all {
		fmt.Fprintf(w, "%s, %d: in force in the cloud p50 %.0f, p99 %.0f, max %.0f ms; confirmed on site p50 %.0f, p99 %.0f, max %.0f ms (load %.1f)\n",
			t.What, t.Changes, t.Cloud.P50, t.Cloud.P99, t.Cloud.Max, t.Site.P50, t.Site.P99, t.Site.Max, t.Load)
	}
}
