package command_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"

	"upsedge/internal/clock"
	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// cutEnv carries directory, driver, orders so far and counter to the process whose disk loses its power.
const cutEnv = "UPSEDGE_ORDERS_TEST_CUT"

// unsynced is SQLite that never waits for the disk.
type unsynced struct{ real sqlite.Driver }

func init() { sql.Register("unsynced", &unsynced{}) }

func (u *unsynced) Open(name string) (driver.Conn, error) {
	return u.real.Open(strings.ReplaceAll(name, "synchronous%28FULL%29", "synchronous%28OFF%29"))
}

// A said is what the child says on its stdout, one line each: what happens outside of the box, where no cut undoes it.
type said struct{ mu sync.Mutex }

func (s *said) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Printf("CUT "+format+"\n", args...)
}

// cutUnit is told something by writing a line.
type cutUnit struct {
	*said
	device string
	x      **command.Executor
}

func (u cutUnit) Check(context.Context, ups.Command) ([]byte, error) { return []byte("{}"), nil }

func (u cutUnit) Execute(context.Context, ups.Command, []byte, func(int, string)) ups.Outcome {
	u.say("effect %v", (*u.x).InHand(u.device))
	return ups.Outcome{State: ups.Done}
}

func (u cutUnit) Judge(context.Context, ups.Command, []byte) ups.Outcome {
	return ups.Outcome{State: ups.Unknown}
}

// cutSink tells results.
type cutSink struct{ *said }

func (s cutSink) Put(_ context.Context, journal wire.ID, results []command.Outgoing) error {
	for _, r := range results {
		if r.Result.State.Final() && !r.Result.Repeated {
			s.say("end %v/%d %v %s", journal, r.Number, r.Result.Order, r.Result.State)
		}
	}
	return nil
}

// TestPowerCutChild is no test: it is the agent of the tests below, and works until it is killed.
func TestPowerCutChild(t *testing.T) {
	var dir, name string
	var orders, counter uint64
	if n, _ := fmt.Sscan(os.Getenv(cutEnv), &dir, &name, &orders, &counter); n != 4 {
		t.Skip("a part of TestAPowerCutBringsNoSecondEffect")
	}
	var boot, nonce wire.ID
	_, _ = rand.Read(boot[:])
	_, _ = rand.Read(nonce[:])
	began, out := time.Now(), &said{}
	var x *command.Executor
	x, err := command.Open(t.Context(), command.Options{
		Dir: dir, Policy: command.Policy{Allow: policy.Groups[:], DailyMax: 1 << 30}, Sink: cutSink{out},
		Clock: clock.Of(clock.Machine{
			Boot: boot, Mono: func() time.Duration { return time.Since(began) }, Wall: time.Now, Service: func() clock.Service { return clock.Service{} },
		}),
		Find: func(serial string) (command.Target, bool) {
			return command.Target{Name: "rack-a", Unit: cutUnit{out, serial, &x}}, true
		},
	}.Through(name))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = x.Run(t.Context()) }()
	announced := time.Now()
	for {
		if _, err := x.Apply(1, &trust.Statement{Time: time.Now(), Entries: []trust.Entry{bind("AS1", 4, policy.Advanced, 9), bind("AS2", 4, policy.Advanced, 9)}}, time.Now()); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	out.say("open")
	for n := max(orders, 40) - 39; ; n++ { // the last of them again, then others
		if n > orders {
			out.say("new %d", n)
		}
		counter++
		x.Accept(command.Order{
			Command: &trust.Command{
				Agent: "box-7", Device: fmt.Sprint("AS", 1+n%2), Epoch: 4, ID: wire.ID{byte(n), byte(n >> 8), byte(n >> 16)}, Counter: counter, Nonce: nonce,
				MaxAge: time.Hour, Action: "alarm.mute", Params: map[string]string{}, Actor: "u_1", Role: "owner", Plan: "advanced", GrantVersion: 9,
			},
			Session: 1, Announced: func(wire.ID) (time.Time, bool) { return announced, true },
		})
		time.Sleep(2 * time.Millisecond)
	}
}

// A cutter counts what happened outside of a box whose disk loses its power again and again.
type cutter struct {
	effects map[string]int
	ends    map[string]map[string]bool // by order, the results that ended it
	orders  uint64
	bad     []string
	dark    atomic.Bool
}

// cut lets a process work, and cuts the power somewhere in its first quarter of a second.
func (c *cutter) cut(t *testing.T, disk *testenv.Disk, dir, driver string, life uint64) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestPowerCutChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d", cutEnv, dir, driver, c.orders, 1_000_000*life))
	lines, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	opened, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for scan := bufio.NewScanner(lines); scan.Scan(); {
			var a, b string
			switch n, _ := fmt.Sscanf(scan.Text(), "CUT %s %s", &a, &b); {
			case n == 1 && a == "open":
				close(opened)
			case n == 2:
				c.hear(a, b, scan.Text())
			}
		}
	}()
	select {
	case <-opened:
	case <-ended:
		t.Error("the process ended by itself")
	case <-time.After(30 * time.Second):
		t.Error("the process does not open its journal")
	}
	time.Sleep(time.Duration(mrand.Int64N(int64(250 * time.Millisecond))))
	c.dark.Store(true) // with the power everything else goes, too: what a process says of a disk that is being shut down never was
	defer c.dark.Store(false)
	disk.Cut(testenv.CutHard)
	_ = cmd.Process.Kill()
	<-ended
	_ = cmd.Wait()
	disk.PowerUp()
}

func (c *cutter) hear(what, about, line string) {
	switch {
	case what == "new":
		_, _ = fmt.Sscan(about, &c.orders)
	case c.dark.Load():
	case what == "effect":
		if c.effects[about]++; c.effects[about] > 1 {
			c.bad = append(c.bad, about+" has another effect")
		}
	case what == "end":
		order := strings.Fields(line)[3]
		if c.ends[order] == nil {
			c.ends[order] = map[string]bool{}
		}
		if c.ends[order][about] = true; len(c.ends[order]) > 1 {
			c.bad = append(c.bad, order+" ends again: "+line)
		}
	}
}

func cuts(t *testing.T, fs, driver string, n int) *cutter {
	t.Helper()
	disk := testenv.NewDisk(t, fs)
	dir := filepath.Join(disk.Dir, "state")
	c := &cutter{effects: map[string]int{}, ends: map[string]map[string]bool{}}
	for life := range n {
		if c.cut(t, disk, dir, driver, uint64(life)); len(c.bad) > 0 || t.Failed() {
			break
		}
	}
	t.Logf("%d cuts, %d orders, %d effects, %d ends", n, c.orders, len(c.effects), len(c.ends))
	return c
}

// TestAPowerCutBringsNoSecondEffect: T-13 on a disk that loses what was not synced, at any instant: the orders are ordered again behind each cut.
func TestAPowerCutBringsNoSecondEffect(t *testing.T) { tryCuts(t, 4) }

// TestSoakPowerCutsOfOrders is the long form.
func TestSoakPowerCutsOfOrders(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestAPowerCutBringsNoSecondEffect; UPSEDGE_SOAK is not set")
	}
	tryCuts(t, 300)
}

func tryCuts(t *testing.T, n int) {
	for _, fs := range testenv.Filesystems {
		t.Run(fs, func(t *testing.T) {
			c := cuts(t, fs, "sqlite", n)
			for _, bad := range c.bad {
				t.Error(bad)
			}
			if len(c.effects) < n {
				t.Errorf("%d effects in %d lives: it tries nothing", len(c.effects), n)
			}
		})
	}
}

// TestSoakAPowerCutBringsASecondEffectWithoutSync: the test above proves something only if the cuts can take what was not synced.
func TestSoakAPowerCutBringsASecondEffectWithoutSync(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("whether TestAPowerCutBringsNoSecondEffect can fail; UPSEDGE_SOAK is not set")
	}
	if c := cuts(t, testenv.Filesystems[0], "unsynced", 60); len(c.bad) == 0 {
		t.Error("nothing was lost without syncing: the cuts cut nothing")
	}
}
