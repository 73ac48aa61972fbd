package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// TestMain lets the test binary stand for the bench when it starts itself as a poller.
func TestMain(m *testing.M) {
	runAsOther()
	os.Exit(m.Run())
}

// TestQuickRunHasEveryRow runs the real thing, shortly. How fast anything was does not matter here; that it was measured does.
func TestQuickRunHasEveryRow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out", "bench.json")
	b := bench{
		agent: testenv.Build(t, "./cmd/agent"), cloud: testenv.Build(t, "./cmd/cloud"), receiver: testenv.Build(t, "./internal/cloud/ingest/receiver"), packages: filepath.Join(testenv.ModuleRoot(t), ".cache", "debian", "root"),
		peers: filepath.Join(testenv.ModuleRoot(t), ".cache", "bin"), json: file, quick: true,
		progress: t.Output(),
	}
	var table bytes.Buffer
	r, err := b.run(t.Context(), &table)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	for _, want := range []string{
		"share of the plan's ideal", "full refreshes per second", "before the gap", "overlapped", "CPU per full refresh", "mains lost",
		"upsagent", "apcupsd", "goburrow/modbus", "goburrow/modbus + 35 ms", "simonvetter/modbus", "NUT", "to the reply that says so", "began later than asked",
		"20 units on TCP", "days of one unit", "256 kbit/s", "JSON per poll", "protobuf", " device", "opens in", "bytes per sample", "encoder", "allocations per poll", "One scrape", "idle agents", "confirmed on site", "mosquitto", "messages/commit", "load average", "never tried on real hardware",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if len(r.Rows) != 35 || len(r.Pollers) != 5 {
		t.Errorf("%d rows and %d pollers, want 35 and 5", len(r.Rows), len(r.Pollers))
	}
	own := r.Pollers[0]
	if own.Refreshes <= 0 || own.CPU <= 0 || own.RSS <= 0 || own.Wakeups <= 0 || own.Reads["0/27"] == 0 {
		t.Errorf("upsagent was not measured: %+v", own)
	}
	if r.Events.Trials != b.trials*eventLines || r.Events.P99 <= 0 || r.Events.Max < r.Events.P50 {
		t.Errorf("mains failures: %+v", r.Events)
	}
	if m := r.Many; m.Refreshes <= 0 || m.CPU <= 0 || m.RSS <= 0 || m.Goroutines <= 0 || m.Scraped == 0 || len(m.Late) == 0 {
		t.Errorf("units on TCP: %+v", m)
	}
	if len(r.Blocks) != 2*len(traces) || len(r.Events.Late) == 0 {
		t.Errorf("blocks %+v, lateness %+v", r.Blocks, r.Events.Late)
	}
	for _, p := range r.Pollers[:1] {
		if p.Early > 0 || p.Overlapping > 0 {
			t.Errorf("%s: %d requests before the gap was over, %d before the reply was", p.Name, p.Early, p.Overlapping)
		}
	}
	var saved report
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil || len(saved.Rows) != len(r.Rows) {
		t.Errorf("JSON: %v, %d rows", err, len(saved.Rows))
	}
}

func TestMissingProgramIsSaid(t *testing.T) {
	if _, err := program(t.Context(), t.TempDir(), "no-such-poller"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("error %v, want that it is not installed", err)
	}
}

// TestIdealIsTheWireOfTheDesign: 3.77 refreshes a second is what the design calls the wire's limit.
func TestIdealIsTheWireOfTheDesign(t *testing.T) {
	rate := 1 / (span{0, 27}.ideal() + span{128, 44}.ideal()).Seconds()
	if rate < 3.765 || rate > 3.775 {
		t.Errorf("%.3f refreshes a second, want 3.77", rate)
	}
}

// TestTapCountsWhatWasAnswered: a request without an answer is none, and the next reply is not taken for its.
func TestTapCountsWhatWasAnswered(t *testing.T) {
	var p tap
	at := time.Now()
	request := func(addr, count byte) { p.hear(at, []byte{1, 3, 0, addr, 0, count, 0, 0}) }
	reply := func(count byte) {
		b := append([]byte{1, 3, 2 * count}, make([]byte, 2*int(count)+2)...)
		for _, c := range b {
			at = at.Add(time.Millisecond)
			p.say(at, []byte{c})
		}
	}
	begin := at
	request(0, 2)
	reply(2)
	at = at.Add(40 * time.Millisecond)
	request(128, 3)
	at = at.Add(time.Second) // no answer
	request(0, 1)
	at = at.Add(40 * time.Millisecond)
	reply(1)
	at = at.Add(50 * time.Millisecond)
	p.hear(at, []byte{1, 3, 0}) // in two pieces
	p.hear(at, []byte{5, 0, 4, 0, 0})
	reply(4)
	got := p.between(begin, at)
	want := []struct {
		span
		pause time.Duration
	}{{span{0, 2}, 0}, {span{0, 1}, 0}, {span{5, 4}, 50 * time.Millisecond}}
	if len(got) != len(want) {
		t.Fatalf("%d exchanges, want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		if got[i].span != w.span || got[i].pause != w.pause {
			t.Errorf("exchange %d: %v after %v, want %v after %v", i, got[i].span, got[i].pause, w.span, w.pause)
		}
	}
}

// TestUsageSeesWork: the CPU clock of another process runs while that works, and only then.
func TestUsageSeesWork(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 60")
	p, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	var u usage
	if err := await(t.Context(), 20*time.Second, func() bool {
		u, err = p.usage()
		return err != nil || u.cpu > time.Millisecond && u.rss > 0
	}); err != nil {
		t.Errorf("%v; used %+v", err, u)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestQuantilesOfAHistogram: as Prometheus reckons them.
func TestQuantilesOfAHistogram(t *testing.T) {
	text := []byte("x_bucket{tier=\"live\",le=\"0.1\"} 50\nx_bucket{tier=\"live\",le=\"+Inf\"} 100\nx_bucket{tier=\"live\",le=\"0.2\"} 98\n" +
		"x_bucket{tier=\"watch\",le=\"0.1\"} 7\nx_count{tier=\"live\"} 100\n")
	h := histogramOf(text, "x", `tier="live"`)
	for q, want := range map[float64]float64{0.25: 0.05, 0.5: 0.1, 0.74: 0.15, 0.99: 0.2} {
		if got := h.quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if h.count() != 100 || histogramOf(text, "x", `tier="none"`).count() != 0 {
		t.Errorf("%v", h)
	}
}
