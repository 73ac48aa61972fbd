package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/goburrow/modbus"
)

// allGroups are the outlet groups that part 990-9840B knows. With all of them the live block is as long as it gets.
const allGroups = 0b1111

// A poller is one of the programs compared.
type poller struct {
	name    string
	note    string // how a refresh is counted, or what is special
	refresh []span // the reads of which a refresh consists; count 0 = any that begins there
	command func(ctx context.Context, dir, device string) (*exec.Cmd, error)
}

// full is the refresh of design, section 11: status block and live block.
var full = []span{{0, 27}, {128, 0}}

func (b *bench) pollers() []poller {
	return []poller{
		{"upsagent", "watch off, status and live asked every 10 ms", full, b.agentAtFullSpeed},
		{
			"apcupsd", "POLLTIME 1; a refresh is one read of the status word at 0 and one of the charge at 130",
			[]span{{0, 0}, {130, 0}},
			b.apcupsd,
		},
		{"goburrow/modbus", "stock RTU handler, one read after the other", full, stock(0)},
		{"goburrow/modbus + 35 ms", "the same, sleeping 35 ms before each read", full, stock(gap)},
		{"simonvetter/modbus", "v1.6.4, its RTU client, one read after the other", full, b.simonvetter},
	}
}

// agentAtFullSpeed is the agent, asked for more than the line can carry.
func (b *bench) agentAtFullSpeed(ctx context.Context, dir, device string) (*exec.Cmd, error) {
	units := fmt.Sprintf("  - name: rack-a\n    serial: {device: %s}\n    poll: {watch: 0, status: 10ms, live: 10ms}\n", device)
	return b.agentOn(ctx, dir, "127.0.0.1:0", units)
}

// agentOn is the agent with these units, stand-alone, everything else as by default.
func (b *bench) agentOn(ctx context.Context, dir, metrics, units string) (*exec.Cmd, error) {
	text := fmt.Sprintf("state_dir: %s\nunits:\n%smetrics: {listen: \"%s\"}\nlocal: {listen: \"\", socket: %s}\n",
		filepath.Join(dir, "state"), units, metrics, filepath.Join(dir, "agent.sock"))
	config := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, b.agent, "--config", config, "run"), nil
}

// apcupsd is Debian's apcupsd as fast as it can be told to poll. Its script directory is empty: whatever it decides, it can
// shut nothing down.
func (b *bench) apcupsd(ctx context.Context, dir, device string) (*exec.Cmd, error) {
	scripts := filepath.Join(dir, "scripts")
	if err := os.Mkdir(scripts, 0o700); err != nil {
		return nil, err
	}
	settings := []string{
		"## apcupsd.conf v1.1 ##", "UPSCABLE smart", "UPSTYPE modbus", "DEVICE " + device, "POLLTIME 1", "NETSERVER off",
		"SCRIPTDIR " + scripts, "LOCKFILE " + dir, "PWRFAILDIR " + dir, "NOLOGINDIR " + dir, "STATTIME 0",
		"EVENTSFILE " + filepath.Join(dir, "events"), "STATFILE " + filepath.Join(dir, "status"),
		"BATTERYLEVEL 0", "MINUTES 0", "TIMEOUT 0", "ANNOY 0", "KILLDELAY 0",
	}
	config := filepath.Join(dir, "apcupsd.conf")
	if err := os.WriteFile(config, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	return program(ctx, b.packages, "apcupsd", "-b", "-f", config)
}

// stockArgument makes this program the loop of stockLoop, so that its CPU time can be told from the simulation's.
const stockArgument = "poll-with-stock-goburrow"

func stock(rest time.Duration) func(context.Context, string, string) (*exec.Cmd, error) {
	return func(ctx context.Context, _, device string) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return exec.CommandContext(ctx, self, stockArgument, device, rest.String()), nil
	}
}

// stockLoop is what a user of the library writes first: its RTU handler with the line's parameters, everything else left at
// its default, reading the two blocks as fast as it goes. It ends with the process.
func stockLoop(device string, rest time.Duration) error {
	h := modbus.NewRTUClientHandler(device)
	h.BaudRate, h.DataBits, h.Parity, h.StopBits, h.SlaveId = baud, 8, "N", 1, 1
	if err := h.Connect(); err != nil {
		return err
	}
	c := modbus.NewClient(h)
	for {
		for _, s := range []span{{0, 27}, {128, 44}} {
			time.Sleep(rest)
			if _, err := c.ReadHoldingRegisters(s.addr, s.count); err != nil {
				fmt.Fprintf(os.Stderr, "%v: %v\n", s, err)
			}
		}
	}
}

// simonvetter is the program of peers/simonvetter, a module of its own that `make bench` builds.
func (b *bench) simonvetter(ctx context.Context, _, device string) (*exec.Cmd, error) {
	path, err := exec.LookPath(filepath.Join(b.peers, "peer-simonvetter"))
	if err != nil {
		return nil, fmt.Errorf("peer-simonvetter: %w", errUnbuilt)
	}
	return exec.CommandContext(ctx, path, device), nil
}

// freeAddress returns a loopback address on which nobody listens now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
