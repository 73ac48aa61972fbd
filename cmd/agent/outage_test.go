package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// sinceBoot is the clock that rows and gaps are told on.
func sinceBoot(t testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// TestKillsRepeatNoAlarmAndNameEveryGap kills the agent again and again while both units are on battery.
func TestKillsRepeatNoAlarmAndNameEveryGap(t *testing.T) {
	t.Parallel()
	killAgain(t, func(kills int) bool { return kills < 3 }, false)
}

// TestSoakKillsRepeatNoAlarmAndNameEveryGap does so for as long as make soak asks for, at least 20 times.
func TestSoakKillsRepeatNoAlarmAndNameEveryGap(t *testing.T) {
	t.Parallel()
	soakKills(t, false)
}

// TestSoakKillsDuringTheStart also kills each run that follows a kill once more, somewhere in its first quarter of a second.
func TestSoakKillsDuringTheStart(t *testing.T) {
	t.Parallel()
	soakKills(t, true)
}

func soakKills(t *testing.T, early bool) {
	t.Helper()
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("a soak test: make soak runs it")
	}
	long, err := time.ParseDuration(os.Getenv("UPSEDGE_SOAK"))
	if err != nil {
		t.Fatalf("UPSEDGE_SOAK: %v", err)
	}
	end := time.Now().Add(long)
	killAgain(t, func(kills int) bool { return kills < 20 || time.Now().Before(end) }, early)
}

// A crash is a kill and the start behind it, on the clock since the boot.
type crash struct {
	run     time.Duration // the start of the run that was killed
	killed  time.Duration
	started time.Duration // of the next run: the process
	read    time.Duration // both units were read again
}

const killFlush = time.Second

// killAgain kills the agent as long as more says so. With early it kills each next run, too, before that is ready.
func killAgain(t *testing.T, more func(kills int) bool, early bool) {
	t.Helper()
	broker := testenv.Mosquitto(t, keepAll)
	cloud := collect(t, broker, "cloud")
	// The batteries last: a unit that is empty is silent.
	a := upssim.New(upssim.Options{Seed: 1, AliveWhenEmpty: true})
	b := upssim.New(upssim.Options{Seed: 2, AliveWhenEmpty: true})
	tty := filepath.Join(t.TempDir(), "tty")
	plug(t, tty, one(a))
	text := fmt.Sprintf(`
spool: {flush: %v}
units:
  - {name: rack-a, serial: {device: %s}}
  - {name: rack-b, tcp: {address: "%s"}}
uplink: {broker: "tcp://%s", insecure: true}
`, killFlush, tty, listen(t, one(b)), broker.Addr)
	p := newPlace(t, text)
	units := []string{"rack-a", "rack-b"}
	bothRead := func(d *process) {
		for _, u := range units {
			d.showing(fmt.Sprintf("ups_status{state=\"on_battery\",ups=%q}", u), "1")
			d.showing(fmt.Sprintf("ups_up{ups=%q}", u), "1")
		}
	}

	a.SetMains(false)
	b.SetMains(false)
	begun := sinceBoot(t)
	agent := p.start()
	bothRead(agent)
	var crashes []crash
	for kills := 0; more(kills); kills++ {
		// Killed at once, right before, while and right after samples are put, and later.
		stored := agent.series("upsagent_samples_total")
		switch kills % 3 {
		case 1:
			until(t, "samples stored", func() bool { return agent.series("upsagent_samples_total") != stored }, nil)
		case 2:
			until(t, "a block on its way", func() bool { return agent.series(`upsagent_spool_records{lane="samples"}`) != "0" }, nil)
		}
		c := crash{run: begun}
		agent.kill()
		c.killed = sinceBoot(t)
		if kills%3 == 0 { // a start that comes to nothing is part of the gap
			p.write(text + fmt.Sprintf("metrics: {listen: %q}\n", broker.Addr))
			if code := p.launch().code(); code != 1 {
				t.Errorf("exit code %d of an agent whose port is taken, want 1", code)
			}
			p.write(text)
		}
		if early {
			d := p.launch()
			select {
			case <-d.gone:
			case <-time.After(rand.N(250 * time.Millisecond)): // any moment will do
			}
			d.kill()
		}
		c.started = sinceBoot(t)
		agent = p.start()
		bothRead(agent)
		c.read = sinceBoot(t)
		begun = c.started
		crashes = append(crashes, c)
	}
	if code := agent.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	ended := sinceBoot(t)
	agent = p.start() // sends what the stop left
	until(t, "everything delivered", func() bool {
		return agent.series(`upsagent_spool_records{lane="samples"}`) == "0" && agent.series(`upsagent_spool_records{lane="events"}`) == "0"
	}, nil)
	agent.kill()

	h := cloud.history()
	told := 0
	for _, e := range h.alarms("") {
		if e == "event 812" {
			told++
		}
	}
	if told < len(crashes) {
		t.Errorf("%d of %d kills were told (812)", told, len(crashes))
	}
	h.unbroken(t)
	for _, unit := range units {
		onlyOnce(t, unit, h)
		rows := slices.DeleteFunc(h.rows(unit), func(r row) bool { return r.at > ended }) // of the run that only sends
		if !early {
			checkGaps(t, unit, h.gaps(unit), rows, crashes)
		}
		checkCover(t, unit, h.gaps(unit), rows, crashes, ended)
	}
	t.Logf("%d kills, %d events, %d blocks, %d copies", len(crashes), len(h.events), len(h.blocks), h.copies)
}

// onlyOnce: an alarm that has not ended is raised under one number, whatever happened to the agent meanwhile.
func onlyOnce(t *testing.T, unit string, h *history) {
	t.Helper()
	alarms := h.alarms(unit)
	if !slices.Contains(alarms, "raise 101") {
		t.Errorf("%s: %v, want a raise of 101", unit, alarms)
	}
	for i, a := range alarms {
		if slices.Contains(alarms[:i], a) || a == "clear 101" || a == "event 102" {
			t.Errorf("%s, on battery all the time: %v", unit, alarms)
			break
		}
	}
}

// slowest is what a start takes at most until both units were read again.
func slowest(crashes []crash) (bound time.Duration) {
	for _, c := range crashes {
		bound = max(bound, c.read-c.started)
	}
	return bound
}

// checkGaps: every crash left one gap of the unit, which begins where its samples end and lasts until the agent ran again.
func checkGaps(t *testing.T, unit string, gaps []wire.Gap, rows []row, crashes []crash) {
	t.Helper()
	if len(gaps) != len(crashes) {
		t.Fatalf("%s: %d gaps for %d crashes", unit, len(gaps), len(crashes))
	}
	for i, c := range crashes {
		g := gaps[i]
		from, to := g.From.Mono, g.To.Mono
		if g.Reason != wire.GapCrash || from < c.run || from > c.killed || to < c.started || to > c.read {
			t.Errorf("%s: gap %d is %v to %v (%s), the agent ran from %v, was killed at %v, ran again at %v", unit, i, from, to, g.Reason, c.run, c.killed, c.started)
		}
		if lost := c.killed - from; lost > killFlush+slowest(crashes) {
			t.Errorf("%s: crash %d lost %v, more than the flush interval and a start", unit, i, lost)
		}
		for _, r := range rows {
			if r.at > from+time.Millisecond && r.at < to {
				t.Errorf("%s: a reading at %v inside of gap %d, %v to %v", unit, r.at, i, from, to)
			}
		}
	}
}

// checkCover: outside of the gaps the readings follow each other.
func checkCover(t *testing.T, unit string, gaps []wire.Gap, rows []row, crashes []crash, ended time.Duration) {
	t.Helper()
	bound := killFlush + slowest(crashes)
	worst := time.Duration(0)
	for i := 1; i < len(rows); i++ {
		open := uncovered(rows[i-1].at, rows[i].at, gaps)
		worst = max(worst, open)
		if open > bound {
			t.Errorf("%s: nothing between %v and %v, of which no gap covers %v", unit, rows[i-1].at, rows[i].at, open)
		}
	}
	if end := ended - rows[len(rows)-1].at; end > bound {
		t.Errorf("%s: the last reading is %v older than the clean stop", unit, end)
	}
	t.Logf("%s: %d rows, %d gaps, longest uncovered time between readings %v, slowest start and a flush %v", unit, len(rows), len(gaps), worst, bound)
}

// uncovered returns how much of the time from a to b is in no gap. Gaps may overlap.
func uncovered(a, b time.Duration, gaps []wire.Gap) (open time.Duration) {
	byStart := slices.SortedFunc(slices.Values(gaps), func(x, y wire.Gap) int { return cmp.Compare(x.From.Mono, y.From.Mono) })
	for _, g := range byStart {
		open += max(0, min(b, g.From.Mono)-a)
		a = max(a, g.To.Mono)
	}
	return open + max(0, b-a)
}

// TestAKillRightAfterAnEventLosesNothingOfWhatLedToIt: samples wait for five minutes, but not those before an event.
func TestAKillRightAfterAnEventLosesNothingOfWhatLedToIt(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, keepAll)
	cloud := collect(t, broker, "cloud")
	u := upssim.New(upssim.Options{Seed: 1, AliveWhenEmpty: true})
	p := newPlace(t, fmt.Sprintf(`
spool: {flush: 5m}
units:
  - {name: rack-a, tcp: {address: "%s"}, poll: {watch: 20ms, status: 100ms, live: 100ms}}
uplink: {broker: "tcp://%s", insecure: true}
`, listen(t, one(u)), broker.Addr))
	agent := p.start()
	agent.showing(`ups_up{ups="rack-a"}`, "1")
	began := sinceBoot(t)
	until(t, "some seconds of samples", func() bool { return sinceBoot(t)-began > 3*time.Second }, nil)
	if n := agent.series("upsagent_samples_total"); n != "0" {
		t.Fatalf("%s samples are stored, the interval is 5 minutes", n)
	}
	failed := sinceBoot(t)
	u.SetMains(false)
	until(t, "the event", func() bool { return len(cloud.history().alarms("rack-a")) > 0 }, nil)
	agent.kill()
	killed := sinceBoot(t)
	agent = p.start()
	until(t, "everything delivered", func() bool {
		return agent.series(`upsagent_spool_records{lane="samples"}`) == "0" && agent.series(`upsagent_spool_records{lane="events"}`) == "0"
	}, nil)
	agent.kill()

	h := cloud.history()
	h.unbroken(t)
	pictures := h.pictures("rack-a")
	if len(pictures) != 1 || pictures[0].Event != pictures[0].Record.Seq-1 {
		t.Fatalf("%d pictures, want one directly behind its event", len(pictures))
	}
	rows := h.rowsOf(func(b *wire.PublishedBlock) bool { return b == pictures[0] })
	if first, last := rows[0].at, rows[len(rows)-1].at; first > began || last < failed.Truncate(time.Millisecond) || last > killed { // rows are in whole milliseconds
		t.Errorf("the picture is of %v to %v; the unit was there at %v, the mains failed at %v and the agent was killed at %v", first, last, began, failed, killed)
	}
	steady(t, rows)
}

// TestBrokerAwayKeepsEverything kills the broker for a while in which the mains fail and return.
func TestBrokerAwayKeepsEverything(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, keepAll)
	cloud := collect(t, broker, "cloud")
	u := upssim.New(upssim.Options{Seed: 1})
	p := newPlace(t, fmt.Sprintf(`
spool: {flush: 100ms}
units:
  - {name: rack-a, tcp: {address: "%s"}, poll: {watch: 20ms, status: 100ms, live: 100ms}}
uplink: {broker: "tcp://%s", insecure: true}
`, listen(t, one(u)), broker.Addr))
	agent := p.start()
	until(t, "samples at the broker", func() bool { return len(cloud.history().blocks) > 5 }, nil)
	broker.Kill()
	agent.showing("upsagent_mqtt_connected", "0")
	away := len(cloud.messages(""))

	u.SetMains(false)
	agent.showing(`ups_alarm_active{alarm="101",ups="rack-a"}`, "1")
	u.SetMains(true)
	agent.showing(`ups_alarm_active{alarm="101",ups="rack-a"}`, "0")
	until(t, "a backlog of 20 blocks and 3 events", func() bool {
		var blocks, events int
		_, _ = fmt.Sscan(agent.series(`upsagent_spool_records{lane="samples"}`), &blocks)
		_, _ = fmt.Sscan(agent.series(`upsagent_spool_records{lane="events"}`), &events)
		return blocks >= 20 && events >= 3
	}, nil)
	if status, body := agent.get("/readyz"); status != 200 {
		t.Errorf("/readyz without a broker answers %d %s", status, body)
	}
	back := sinceBoot(t)
	// The agent stands still until the collector is there: a broker that was killed has forgotten who subscribes, and would
	// acknowledge what nobody gets.
	agent.signal(syscall.SIGSTOP)
	known := cloud.subscriptions.Load()
	broker.Start()
	until(t, "the collector back", func() bool { return cloud.subscriptions.Load() > known }, nil)
	agent.signal(syscall.SIGCONT)
	agent.showing("upsagent_mqtt_connected", "1")
	until(t, "everything delivered", func() bool {
		h := cloud.history()
		return len(h.alarms("rack-a")) == 3 && agent.series(`upsagent_spool_records{lane="events"}`) == "0" && newest(h) > back
	}, nil)
	agent.showing("upsagent_mqtt_reconnects_total", "1")
	if code := agent.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	h := cloud.history()
	h.unbroken(t)
	if got, want := h.alarms("rack-a"), []string{"raise 101", "clear 101", "event 102"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if g := h.gaps("rack-a"); len(g) > 0 {
		t.Errorf("gaps %+v, nothing was lost", g)
	}
	// Samples that were published before the kill and not acknowledged stand before the events in no order: only new ones count.
	blocksBefore := 0
	for _, m := range cloud.messages("")[away:] {
		switch m.leaf {
		case wire.TopicSamples:
			if m.payload[3] != wire.PictureVersion { // a picture goes with its event
				blocksBefore++
			}
		case wire.TopicEvents:
			p, err := wire.DecodeEventMessage(m.payload)
			if err != nil {
				t.Fatal(err)
			}
			if blocksBefore > 0 && p.Record.Stamp.Mono < back { // what happened later, the stop for one, comes when it happens
				t.Errorf("this came behind %d sample blocks after the broker's return: %s", blocksBefore, m.payload)
			}
		}
	}
	steady(t, h.rows("rack-a"))
}

func newest(h *history) (at time.Duration) {
	for _, b := range h.blocks {
		at = max(at, b.Record.Stamp.Mono)
	}
	return at
}

// steady: the readings of a unit that is asked several times a second follow each other.
func steady(t *testing.T, rows []row) {
	t.Helper()
	const loaded = 3 * time.Second // what a busy machine may take between two of them
	for i := 1; i < len(rows); i++ {
		if d := rows[i].at - rows[i-1].at; d > loaded {
			t.Errorf("no reading for %v", d)
		}
	}
	t.Logf("%d readings", len(rows))
}
