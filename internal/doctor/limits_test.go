package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/config"
)

// T-67: a bundle has at most 1 MiB, however much there is to tell and however little of it can be packed; what was cut is said.
func TestT67TheSizeHoldsWithHugeLogsAndMetrics(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pool := make([]byte, 1<<20) // gzip looks back 32 KiB
	for i := range pool {
		pool[i] = "abcdefghijklmnopqrstuvwxyz0123456789 "[rnd.IntN(37)]
	}
	noise := func(n int) string {
		at := rnd.IntN(len(pool) - n)
		return string(pool[at : at+n])
	}
	f := facts()
	written := 0
	f.Metrics = func(w io.Writer) error {
		for i := range 1 << 20 { // it would be hundreds of megabytes
			n, err := fmt.Fprintf(w, "ups_x{ups=\"rack-a\",n=\"%d\"} %s\n", i, noise(400))
			if written += n; err != nil {
				return err
			}
		}
		return errors.New("everything was taken")
	}
	for range 2000 { // a megabyte and a fifth, where one fits
		f.Log = append(f.Log, Line{At: time.Unix(1, 0), Text: noise(600)})
	}
	b, err := Make(f, &Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	raw := 0
	_, all := files(t, b.Data)
	for _, text := range all {
		raw += len(text)
	}
	if len(b.Data) > MaxBytes || raw > MaxRaw || written > 16<<20 {
		t.Errorf("%d bytes, %d unpacked, %d metrics asked for", len(b.Data), raw, written)
	}
	if left := strings.Join(b.Table.Left, "\n"); !strings.Contains(left, fileMetrics) || !strings.Contains(left, fileLog) {
		t.Errorf("nothing is said of what was cut: %s", left)
	}
	if last := all[fileLog][strings.LastIndexByte(strings.TrimSpace(all[fileLog]), '\n')+1:]; !strings.Contains(last, f.Log[len(f.Log)-1].Text[:100]) {
		t.Error("the last line of the log is not the last one there was")
	}
	for name, c := range all {
		if item := itemOf(name); len(c) > item.most {
			t.Errorf("%s has %d bytes", name, len(c))
		}
	}
	// Far too much of what is not cut is left out as a whole.
	f.Units = slices.Repeat(f.Units, 8000)
	if b, err = Make(f, &Secrets{}); err != nil || !strings.Contains(strings.Join(b.Table.Left, "\n"), fileUnits) {
		t.Errorf("%v, %v", b, err)
	}
}

func TestTheSameFactsMakeTheSameBundle(t *testing.T) {
	f := facts()
	a, err := Make(f, &Secrets{})
	b, err2 := Make(f, &Secrets{})
	if err != nil || err2 != nil || !bytes.Equal(a.Data, b.Data) || a.Digest != b.Digest {
		t.Errorf("%v, %v", err, err2)
	}
}

// PRIV-4, T-67: of units that a bundle is not about it has neither names nor numbers.
func TestT67ABundleIsAboutOneUnit(t *testing.T) {
	f := facts()
	f.Others = []Other{{"main", "AS-OTHER-1"}}
	f.Metrics = func(w io.Writer) error {
		_, err := io.WriteString(w, "ups_up{ups=\"main\"} 1\nups_outlet_group_state{ups=\"rack-a\",group=\"main\"} 1\nupsagent_x{line=\"main\"} 1\n")
		return err
	}
	f.Log = []Line{{Text: "INFO link lost unit=main", Unit: "main"}, {Text: "WARN unit main: card: domain maintains"}, {Text: "INFO kept"}}
	b, err := Make(f, &Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	_, all := files(t, b.Data)
	if got := all[fileMetrics]; got != "ups_outlet_group_state{ups=\"rack-a\",group=\"main\"} 1\n" {
		t.Errorf("metrics %q", got)
	}
	if got := all[fileLog]; strings.Contains(got, "link lost") || !strings.Contains(got, "unit …: card: domain maintains") || !strings.Contains(got, "kept") {
		t.Errorf("log %q", got)
	}
	f.Units[0].Model = "AS-OTHER-1"
	if _, err := Make(f, &Secrets{}); err == nil {
		t.Error("the serial number of another unit was told")
	}
}

// T-61: the ring is bounded, and tells of attributes only those that are known to be harmless.
func TestT61TheRingTellsNamesAndNumbers(t *testing.T) {
	r, out := NewRing(), &bytes.Buffer{}
	log := slog.New(r.Beside(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.With("unit", "rack-a").Warn("link lost", "err", errors.New("dial tcp 10.1.2.3:502: refused"), "password", "hunter22", "attempts", 3, "broker", "tls://cloud.example:8883",
		"secret", slog.GroupValue(slog.String("unit", "hunter22")), "order", "0123456789abcdef0123456789abcdef")
	log.WithGroup("deep").Info("inside", "unit", "hunter22")
	log.Debug("not kept", "unit", "rack-a")
	lines, _ := r.Lines()
	if len(lines) != 2 || lines[0].Unit != "rack-a" {
		t.Fatalf("%+v", lines)
	}
	want := "WARN link lost unit=rack-a err=dial tcp <address>: refused password=… attempts=3 broker=… secret=… order=0123456789abcdef0123456789abcdef"
	if lines[0].Text != want {
		t.Errorf("%s\nwant %s", lines[0].Text, want)
	}
	if strings.Contains(fmt.Sprint(lines), "hunter22") {
		t.Errorf("%v", lines)
	}
	if n := strings.Count(out.String(), "\n"); n != 3 || !strings.Contains(out.String(), "hunter22") {
		t.Errorf("what goes on is changed: %s", out)
	}
	quiet := slog.New(r.Beside(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelError})))
	if out.Reset(); true {
		quiet.Info("kept here alone")
	}
	if lines, _ = r.Lines(); len(lines) != 3 || out.Len() != 0 || quiet.Enabled(context.Background(), slog.LevelDebug) {
		t.Errorf("%d lines, %q", len(lines), out)
	}
	for i := range ringLines + 500 {
		log.Info(strings.Repeat("word ", 40), "attempts", i)
	}
	lines, lost := r.Lines()
	size := 0
	for _, l := range lines {
		size += len(l.Text)
	}
	if len(lines) > ringLines || size > ringBytes || lost != uint64(ringLines+503-len(lines)) || !strings.HasSuffix(lines[len(lines)-1].Text, "attempts=1499") {
		t.Errorf("%d lines, %d bytes, %d lost", len(lines), size, lost)
	}
}

// T-67: of every key of the configuration it is decided whether it is told: a new one fails here until it is.
func TestT67EveryKeyOfTheConfigurationIsDecidedAbout(t *testing.T) {
	cfg := config.Config{
		StateDir: "SECRET", Uplink: &config.Uplink{Broker: "tls://SECRET.example:8883", CAFile: "SECRET", CertFile: "SECRET", KeyFile: "SECRET", AgentID: "SECRET", Addresses: "tail"},
		Metrics: config.Metrics{Listen: "SECRET:1", WebConfig: "SECRET"}, Local: config.Local{Listen: "10.66.77.88:2", Socket: "SECRET", WebConfig: "SECRET", Names: []string{"SECRET"}},
		Units: []config.Unit{
			{Name: "a", Serial: &config.Serial{Device: "/dev/serial/by-id/SECRET", Baud: 9600}},
			{Name: "b", TCP: &config.TCP{Address: "10.66.77.88:502"}, Card: &config.Card{Address: "SECRET", CredentialsFile: "SECRET"}},
		},
		Orders: config.Orders{Allow: []string{"diagnostics"}, Hours: "08:00-18:00"}, Log: config.Log{Format: "text"},
	}
	text, err := encode(Configured(&cfg, "", true))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); strings.Contains(s, "SECRET") || strings.Contains(s, "10.66") || !strings.Contains(s, "77.88") {
		t.Errorf("%s", s)
	}
	decided := map[string]int{"Config": 8, "Spool": 2, "Unit": 7, "Serial": 3, "TCP": 2, "Thresholds": 3, "Card": 2, "Uplink": 8, "Metrics": 3, "Local": 4, "Orders": 6, "FedBy": 2, "Log": 2}
	var count func(reflect.Type)
	count = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return
		}
		if n := decided[of.Name()]; n != of.NumField() {
			t.Errorf("config.%s has %d fields, of %d it was decided whether they are told: see Configured", of.Name(), of.NumField(), n)
		}
		for i := range of.NumField() {
			count(of.Field(i).Type)
		}
	}
	count(reflect.TypeFor[config.Config]())
}

// TestTheDocumentHasTheTable word for word: what the owner reads is what the bundle has.
func TestTheDocumentHasTheTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "support-bundle.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, c := range Contents {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", c.File, c.What, c.Why)
	}
	if !strings.Contains(string(text), "\n| --- | --- | --- |\n"+want.String()+"\n") {
		t.Errorf("docs/support-bundle.md is to have\n%s", want.String())
	}
	if !strings.Contains(string(text), Never) {
		t.Errorf("docs/support-bundle.md is to say: %s", Never)
	}
}

func FuzzReadTable(f *testing.F) {
	b, err := Make(facts(), &Secrets{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Data)
	f.Add(b.Data[:200])
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if table, err := ReadTable(data); (err == nil) != (table != nil) {
			t.Errorf("%v, %v", table, err)
		}
	})
}
