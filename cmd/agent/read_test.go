package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// unreadable is what must not be printed of any unit: a value that is the mark of "not applicable" (protocol reference,
// section 3.3), a bit without a name, a float that is none.
var unreadable = regexp.MustCompile(`NaN|Inf|1023\.98|2047\.97|255\.99|65535 |-0\.03|bit \d`)

func TestReadPrintsEveryFamily(t *testing.T) {
	t.Parallel()
	for _, sku := range upssim.SKUs() {
		t.Run(sku, func(t *testing.T) {
			t.Parallel()
			addr := listen(t, one(upssim.New(upssim.Options{SKU: sku, Serial: "AS2130000001"})))
			p := newPlace(t, fmt.Sprintf("units: [{name: rack-a, tcp: {address: %q}}]\n", addr))
			out, words, code := p.upsagent("read")
			if code != 0 || words != "" {
				t.Fatalf("exit code %d, %s", code, words)
			}
			if bad := unreadable.FindString(out); bad != "" {
				t.Errorf("%q in\n%s", bad, out)
			}
			for _, want := range []string{
				`(?m)^sku +` + sku + `$`, `(?m)^serial +AS2130000001$`, `(?m)^status +State`, `(?m)^battery_charge +\d+\.\d\d %$`,
				`(?m)^output_voltage +\d+\.\d V$`, `(?m)^battery_replace_by +20\d\d-\d\d-\d\d$`,
			} {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("no line %s in\n%s", want, out)
				}
			}
		})
	}
}

func TestWatchReadsAgainUntilItIsStopped(t *testing.T) {
	t.Parallel()
	addr := listen(t, one(upssim.New(upssim.Options{})))
	p := newPlace(t, fmt.Sprintf("units: [{name: rack-a, tcp: {address: %q}}]\n", addr))
	cmd := exec.CommandContext(t.Context(), testenv.Build(t, "./cmd/agent"), "--config", p.file, "read", "--watch", "--json", "--record", p.dir+"/watched.capture")
	cmd.Env = append(os.Environ(), hasty)
	out, words := new(notes), new(notes)
	cmd.Stdout, cmd.Stderr = out, words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "three readings", func() bool { return strings.Count(out.String(), "\n") >= 3 }, words.String)
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped: %v, %s", err, words)
	}
	for line := range strings.Lines(out.String()) {
		var r reading
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Unit != "rack-a" || len(r.Values) < 40 {
			t.Errorf("%v in %s", err, line)
		}
	}
	text, err := os.ReadFile(p.dir + "/watched.capture")
	if err != nil || strings.Count(string(text), " open\n") < 3 || !strings.Contains(string(text), "model: Smart-UPS 1500\n") {
		t.Errorf("the capture, %v:\n%.400s", err, text)
	}
}
