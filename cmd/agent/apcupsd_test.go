package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/local"
	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// TestReadAgreesWithApcupsd lets Debian's apcupsd and upsagent read the same unit on the same port, one after the other, and
// compares what they say. The unit's clock stands still: only rounding may differ.
func TestReadAgreesWithApcupsd(t *testing.T) {
	t.Parallel()
	clock := newStanding()
	u := upssim.New(upssim.Options{Seed: 7, Name: "rack-a", Serial: "AS0123456789", Load: 0.4, Now: clock.now})
	tty := filepath.Join(t.TempDir(), "tty")
	plug(t, tty, one(u))
	p := newPlace(t, fmt.Sprintf("units: [{name: rack-a, serial: {device: %s}}]", tty))
	for _, mains := range []bool{true, false} {
		u.SetMains(mains)
		clock.advance(3 * time.Minute)
		theirs := askApcupsd(t, tty, map[bool]string{true: "ONLINE", false: "ONBATT"}[mains])
		compareReadings(t, theirs, readJSON(t, p))
	}
}

// readJSON is what upsagent read --json says, by point.
func readJSON(t *testing.T, p *place) map[string]local.Value {
	t.Helper()
	out, words, code := p.upsagent("read", "--json")
	if code != 0 {
		t.Fatalf("read: exit code %d\n%s", code, words)
	}
	var r reading
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("read --json: %v\n%s", err, out)
	}
	values := map[string]local.Value{}
	for _, v := range r.Values {
		values[v.Point] = v
	}
	return values
}

// askApcupsd runs apcupsd on the port until it has read the unit in that status, and ends it. Its script directory is empty:
// whatever it decides, it can shut nothing down.
func askApcupsd(t *testing.T, tty, status string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	conf := filepath.Join(dir, "apcupsd.conf")
	text := "## apcupsd.conf v1.1 ##\n" + strings.Join([]string{
		"UPSCABLE smart", "UPSTYPE modbus", "DEVICE " + tty, "POLLTIME 1", "LOCKFILE " + dir, "SCRIPTDIR " + dir, "PWRFAILDIR " + dir,
		"NOLOGINDIR " + dir, "EVENTSFILE " + dir + "/events", "STATFILE " + dir + "/status", "ONBATTERYDELAY 0", "BATTERYLEVEL 0",
		"MINUTES 0", "TIMEOUT 0", "ANNOY 0", "KILLDELAY 0", "NETSERVER on", "NISIP 127.0.0.1", "NISPORT " + port,
	}, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := testenv.Command(t, "apcupsd", "-b", "-f", conf)
	log := new(notes)
	daemon.Stdout, daemon.Stderr = log, log
	daemon.WaitDelay = 10 * time.Second // a script it started may outlive it, with the pipe in its hands
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = daemon.Wait() }() // ended by a signal, as asked for
	defer func() { _ = daemon.Process.Signal(syscall.SIGTERM) }()
	values := map[string]string{}
	until(t, "apcupsd says "+status, func() bool {
		out, err := testenv.Command(t, "apcaccess", "-u", "-h", "127.0.0.1:"+port).Output()
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(out)) {
			if k, v, ok := strings.Cut(line, ":"); ok {
				values[strings.TrimSpace(k)] = strings.TrimSpace(v)
			}
		}
		for _, c := range compared { // it reads value by value, and may have missed one
			if values[c.theirs] == "" {
				return false
			}
		}
		return strings.Contains(values["STATUS"], status) && values["SERIALNO"] != ""
	}, log.String)
	return values
}

// compared are apcupsd's names and our points for one thing, with how apcupsd rounds and what its unit is of ours.
var compared = []struct {
	theirs, ours string
	per          float64 // ours divided by this is theirs
	within       float64 // in their unit: half of their last digit
}{
	{"BCHARGE", "battery_charge", 1, 0.06},
	{"TIMELEFT", "battery_runtime", 60, 1 /* whole minutes, cut off */},
	{"LINEV", "input_voltage", 1, 0.06},
	{"LOADPCT", "load_real", 1, 0.06},
	{"LOADAPNT", "load_apparent", 1, 0.06},
	{"BATTV", "battery_voltage", 1, 0.06},
	{"OUTPUTV", "output_voltage", 1, 0.06},
	{"OUTCURNT", "output_current", 1, 0.06},
	{"LINEFREQ", "output_frequency", 1, 0.06},
	{"ITEMP", "battery_temperature", 1, 0.06},
	{"NOMPOWER", "nominal_power", 1, 0.5},
	{"NOMAPNT", "nominal_apparent_power", 1, 0.5},
}

func compareReadings(t *testing.T, theirs map[string]string, ours map[string]local.Value) {
	t.Helper()
	t.Logf("%-10s %-22s %s", "", "apcupsd", "upsagent read")
	for _, c := range compared {
		v := ours[c.ours]
		t.Logf("%-10s %-22s %v", c.theirs, theirs[c.theirs], v)
		number, _, _ := strings.Cut(theirs[c.theirs], " ")
		want, err := strconv.ParseFloat(number, 64)
		switch {
		case err != nil:
			t.Errorf("apcupsd's %s is %q", c.theirs, theirs[c.theirs])
		case v.Number == nil:
			t.Errorf("upsagent has no %s, apcupsd has %s", c.ours, theirs[c.theirs])
		case math.Abs(*v.Number/c.per-want) > c.within:
			t.Errorf("%s: apcupsd %s, upsagent %s %v", c.theirs, theirs[c.theirs], c.ours, v)
		}
	}
	texts := map[string]string{
		"MODEL": ours["model"].Text, "SERIALNO": ours["serial"].Text, "UPSNAME": ours["name"].Text,
		"FIRMWARE": ours["firmware"].Text + " / " + ours["map_id"].Text, "MANDATE": ours["manufactured"].Text,
		"BATTDATE": ours["battery_installed"].Text,
		"STATUS":   map[bool]string{true: "ONLINE", false: "ONBATT"}[strings.Contains(ours["status"].String(), "StateOnline")],
	}
	for name, text := range texts {
		t.Logf("%-10s %-22s %s", name, theirs[name], text)
		if theirs[name] != text {
			t.Errorf("%s: apcupsd %q, upsagent %q", name, theirs[name], text)
		}
	}
}
