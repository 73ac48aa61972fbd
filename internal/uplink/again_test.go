package uplink

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// firsts are how many seconds after the first one each new nonce was announced.
func firsts(b *pipeBroker) (at []int) {
	var began time.Time
	for _, p := range b.states() {
		if form(*p.state) != "first" {
			continue
		}
		if began.IsZero() {
			began = p.at
		}
		at = append(at, int(p.at.Sub(began).Round(time.Second).Seconds()))
	}
	return at
}

// TestAStatementIsAskedForAgainWhileItIsWanted: ever more rarely, a few times, and not any more once it is not wanted; where none comes,
// after a minute.
func TestAStatementIsAskedForAgainWhileItIsWanted(t *testing.T) {
	for _, c := range []struct {
		name  string
		until time.Duration // it is wanted
		mute  time.Duration // from then on the cloud says nothing for two minutes
		want  []int
	}{
		{"never", 0, 0, []int{0}},
		{"twelve seconds", 12 * time.Second, 0, []int{0, 5}},
		{"a minute", time.Minute, 0, []int{0, 5, 15, 35}},
		{"always", time.Hour, 0, []int{0, 5, 15, 35, 75, 135, 195, 255, 315}},
		{"always, and the cloud is away", time.Hour, 10 * time.Second, []int{0, 5, 15, 75, 135, 195, 255, 315, 375}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
				var wanted atomic.Bool
				wanted.Store(c.until > 0)
				s := pipeSession(b, spool, func(cfg *Config) {
					enrolled(spool)(cfg)
					cfg.Cloud.Again = wanted.Load
				})
				inBubble(t, s, b, 14*time.Minute, func() {
					time.AfterFunc(c.until, func() { wanted.Store(false) })
					if c.mute > 0 {
						time.AfterFunc(c.mute, func() { b.cloud.set(func() { b.cloud.mute = true }) })
						time.AfterFunc(c.mute+2*time.Minute, func() { b.cloud.set(func() { b.cloud.mute = false }) })
					}
				})
				if got := firsts(b); !slices.Equal(got, c.want) {
					t.Errorf("nonces at %v s, want %v", got, c.want)
				}
			})
		})
	}
}
