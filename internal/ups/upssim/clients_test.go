package upssim_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// onPTY serves u on a pseudo terminal at the real pace until the test ends.
func onPTY(t testing.TB, u *upssim.Unit, o upssim.SerialOptions) (path string, port *upssim.PTY) {
	t.Helper()
	port, err := upssim.OpenPTY(filepath.Join(t.TempDir(), "ups"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- upssim.ServeSerial(ctx, port, o, map[uint8]*upssim.Unit{1: u}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ServeSerial: %v", err)
		}
		if err := port.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return port.Path(), port
}

// clientModels are the models that programs of others read: one of each family with outlet groups.
var clientModels = []string{"SMT1500RM2UC", "SMX1500RM2U", "SRT1000XLA"}

// TestMbpollReadsEveryBlock reads with libmodbus and compares every register. The unit stands still in time.
func TestMbpollReadsEveryBlock(t *testing.T) {
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, sku := range clientModels {
		t.Run(sku, func(t *testing.T) {
			t.Parallel()
			u := upssim.New(upssim.Options{SKU: sku, Now: func() time.Time { return noon }})
			path, _ := onPTY(t, u, upssim.SerialOptions{Turnaround: 5 * time.Millisecond})
			for _, block := range []struct{ addr, count uint16 }{{0, 27}, {128, 44}, {516, 80}, {596, 40}, {1026, 22}, {2048, 14}} {
				if got, want := mbpoll(t, path, block.addr, block.count), u.Registers(block.addr, block.count); !slices.Equal(got, want) {
					t.Errorf("%d+%d: %04x, want %04x", block.addr, block.count, got, want)
				}
			}
			out, err := testenv.Command(t, "mbpoll", "-m", "rtu", "-a", "1", "-b", "9600", "-P", "none", "-t", "4", "-0", "-r", "1", "-c", "2", "-o", "5", "-1", path).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "Illegal data address") {
				t.Errorf("mbpoll 1+2: %v\n%s", err, out)
			}
		})
	}
}

var mbpollLine = regexp.MustCompile(`(?m)^\[(\d+)\]:\s+0x([0-9A-F]{4})`)

// mbpoll reads registers with libmodbus.
func mbpoll(t *testing.T, path string, addr, count uint16) (got []uint16) {
	t.Helper()
	cmd := testenv.Command(t, "mbpoll", "-m", "rtu", "-a", "1", "-b", "9600", "-P", "none", "-t", "4:hex", "-0",
		"-r", strconv.Itoa(int(addr)), "-c", strconv.Itoa(int(count)), "-o", "5", "-1", path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mbpoll %d+%d: %v\n%s", addr, count, err, out)
	}
	for _, m := range mbpollLine.FindAllStringSubmatch(string(out), -1) {
		v, err := strconv.ParseUint(m[2], 16, 16)
		if err != nil || m[1] != strconv.Itoa(int(addr)+len(got)) {
			t.Fatalf("mbpoll %d+%d: %q, %v", addr, count, m[0], err)
		}
		got = append(got, uint16(v))
	}
	return got
}

// apcupsd runs Debian's apcupsd on the port at path and returns a function that asks it for its values. Its script
// directory is empty: whatever it decides, it can shut nothing down.
func apcupsd(t *testing.T, path string) (values func() map[string]string) {
	t.Helper()
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	scripts := filepath.Join(dir, "scripts")
	if err := os.Mkdir(scripts, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "apcupsd.conf")
	text := "## apcupsd.conf v1.1 ##\n" + strings.Join([]string{
		"UPSCABLE smart", "UPSTYPE modbus", "DEVICE " + path, "POLLTIME 1", "LOCKFILE " + dir, "SCRIPTDIR " + scripts, "PWRFAILDIR " + dir,
		"NOLOGINDIR " + dir, "EVENTSFILE " + filepath.Join(dir, "events"), "STATFILE " + filepath.Join(dir, "status"), "ONBATTERYDELAY 0",
		"BATTERYLEVEL 0", "MINUTES 0", "TIMEOUT 0", "ANNOY 0", "KILLDELAY 0", "NETSERVER on", "NISIP 127.0.0.1", fmt.Sprintf("NISPORT %d", port),
	}, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon := testenv.Command(t, "apcupsd", "-b", "-f", conf)
	var log strings.Builder
	daemon.Stdout, daemon.Stderr = &log, &log
	daemon.Cancel = func() error { return daemon.Process.Signal(syscall.SIGTERM) }
	daemon.WaitDelay = 10 * time.Second
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Wait() // killed by the end of the test's context
		if t.Failed() {
			t.Logf("apcupsd: %s", log.String())
		}
	})
	return func() map[string]string {
		out, err := testenv.Command(t, "apcaccess", "-u", "-h", fmt.Sprintf("127.0.0.1:%d", port)).Output()
		if err != nil {
			return nil
		}
		v := map[string]string{}
		for l := range strings.Lines(string(out)) {
			if key, value, ok := strings.Cut(l, ":"); ok {
				v[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
		}
		return v
	}
}

// until asks again and again for as long as half a minute.
func until(t *testing.T, what string, ask func() map[string]string, ok func(map[string]string) bool) map[string]string {
	t.Helper()
	var v map[string]string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if v = ask(); ok(v) {
			return v
		}
	}
	t.Fatalf("not within 30 s: %s; last %v", what, v)
	return nil
}

// A watched unit has an apcupsd.
type watched struct {
	*upssim.Unit
	is  map[string]string // what apcupsd must call it
	ask func() map[string]string
}

// TestApcupsdReadsTheUnit compares what apcupsd makes of the registers with the registers, on lines that insist on their gap: one
// of each model, side by side, because apcupsd takes its time.
func TestApcupsdReadsTheUnit(t *testing.T) {
	var all []watched
	for sku, is := range map[string]map[string]string{
		"SMT1500RM2UC": {"MODEL": "Smart-UPS 1500", "FIRMWARE": "UPS 04.1 / 00.5", "NOMPOWER": "1000", "NOMAPNT": "1440 VA"},
		"SMX1500RM2U":  {"MODEL": "Smart-UPS X 1500", "FIRMWARE": "UPS 16.0 / 00.5", "NOMPOWER": "1200", "NOMAPNT": "1440 VA"},
		"SRT1000XLA":   {"MODEL": "Smart-UPS SRT 1000", "FIRMWARE": "UPS 16.5 / 00.5", "NOMPOWER": "900", "NOMAPNT": "1000 VA"},
	} {
		u := upssim.New(upssim.Options{SKU: sku, Name: "rack-a", Serial: "AS0123456789", Load: 0.4})
		path, _ := onPTY(t, u, upssim.SerialOptions{Turnaround: 5 * time.Millisecond, StrictGap: true})
		all = append(all, watched{u, is, apcupsd(t, path)})
	}
	for _, w := range all {
		v := until(t, "ONLINE", w.ask, func(v map[string]string) bool {
			return v["STATUS"] == "ONLINE" && v["LINEV"] != "" && v["SERIALNO"] != ""
		})
		sameValues(t, w.Unit, w.is, v)
	}
	for _, w := range all {
		w.SetMains(false)
	}
	for _, w := range all {
		until(t, "ONBATT", w.ask, func(v map[string]string) bool { return strings.Contains(v["STATUS"], "ONBATT") && v["LINEV"] == "0.0" })
		w.SetMains(true)
	}
	for _, w := range all {
		v := until(t, "ONLINE again", w.ask, func(v map[string]string) bool { return v["STATUS"] == "ONLINE" })
		if v["NUMXFERS"] != "1" {
			t.Errorf("%s: %s transfers, want 1", w.is["MODEL"], v["NUMXFERS"])
		}
	}
}

// sameValues compares what apcupsd shows with what the model is, and with the registers.
func sameValues(t *testing.T, u *upssim.Unit, is, v map[string]string) {
	t.Helper()
	for key, want := range map[string]string{
		"SERIALNO": "AS0123456789", "UPSNAME": "rack-a", "NOMOUTV": "120", "MANDATE": "2024-03-11", "BATTDATE": "2024-05-06", "DRIVER": "MODBUS UPS Driver",
		"MODEL": is["MODEL"], "FIRMWARE": is["FIRMWARE"], "NOMPOWER": is["NOMPOWER"], "NOMAPNT": is["NOMAPNT"],
	} {
		if v[key] != want {
			t.Errorf("%s: %s %q, want %q", is["MODEL"], key, v[key], want)
		}
	}
	now := func(addr uint16, div float64) float64 { return float64(u.Registers(addr, 1)[0]) / div }
	for key, c := range map[string]struct{ want, tolerance float64 }{
		"BCHARGE": {now(130, 512), 0.1}, "TIMELEFT": {now(129, 60), 3}, "LINEV": {now(151, 64), 4}, "LOADPCT": {now(136, 256), 4},
		"LOADAPNT": {now(138, 256), 4}, "OUTPUTV": {now(142, 64), 4}, "BATTV": {now(131, 32), 0.2}, "ITEMP": {now(135, 128), 0.2},
		"LINEFREQ": {now(144, 128), 0.2}, "OUTCURNT": {now(140, 32), 0.4},
	} {
		got, err := strconv.ParseFloat(strings.SplitN(v[key], " ", 2)[0], 64)
		if err != nil || math.Abs(got-c.want) > c.tolerance {
			t.Errorf("%s: %s %q, want %.2f ± %g", is["MODEL"], key, v[key], c.want, c.tolerance)
		}
	}
}

// TestPTYComesAndGoes: the link replaces a stale one but nothing else, and Close takes it away and hangs readers up.
func TestPTYComesAndGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ups")
	if err := os.Symlink("/dev/null", path); err != nil {
		t.Fatal(err)
	}
	p, err := upssim.OpenPTY(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := p.Write([]byte{0, 3, 13, 10, 17, 0x7F, 0xFF}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, err := reader.Read(b); err != nil || string(b[:n]) != "\x00\x03\r\n\x11\x7f\xff" {
		t.Errorf("read % x, %v: the terminal is not raw", b[:n], err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n, err := reader.Read(b); err == nil && n > 0 {
		t.Errorf("read %d bytes from an unplugged port", n)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link is still there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := upssim.OpenPTY(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replaced a file: %v, %v", p, err)
	}
}
