package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// A neighbourhood is a network on loopback, all on one port: some addresses have a unit, a stranger or somebody silent, all
// others refuse.
type neighbourhood struct {
	t     *testing.T
	net   string // "127.0.77"
	port  string
	mu    sync.Mutex
	conns map[string]int // by last byte of the address
	open  atomic.Int32
	most  atomic.Int32 // connections at once
}

func newNeighbourhood(t *testing.T, network string) *neighbourhood {
	n := &neighbourhood{t: t, net: network, conns: map[string]int{}}
	l, err := net.Listen("tcp", network+".1:0")
	if err != nil {
		t.Skipf("no addresses %s.0/24 on loopback here: %v", network, err)
	}
	_, n.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	return n
}

// house has serve answer at one address until the test ends.
func (n *neighbourhood) house(host int, serve func(ctx context.Context, l net.Listener)) {
	n.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s.%d:%s", n.net, host, n.port))
	if err != nil {
		n.t.Skipf("the port is taken at another address: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { serve(ctx, &countedListener{l, n, fmt.Sprint(host)}) })
	n.t.Cleanup(func() { stop(); l.Close(); served.Wait() })
}

func (n *neighbourhood) unit(host int, number string) {
	u := upssim.New(upssim.Options{Serial: number})
	n.house(host, func(ctx context.Context, l net.Listener) {
		_ = upssim.ServeTCP(ctx, l, one(u), upssim.TCPOptions{Turnaround: 5 * time.Millisecond})
	})
}

// silent accepts connections and holds them, saying words once.
func (n *neighbourhood) silent(host int, words string) {
	n.house(host, func(_ context.Context, l net.Listener) {
		var talking sync.WaitGroup
		defer talking.Wait()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			talking.Go(func() {
				_, _ = c.Write([]byte(words))
				_, _ = io.Copy(io.Discard, c) // until the other end closes
				c.Close()
			})
		}
	})
}

type countedListener struct {
	net.Listener
	n    *neighbourhood
	host string
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.n.conns[l.host]++
	if open := l.n.open.Add(1); open > l.n.most.Load() {
		l.n.most.Store(open)
	}
	return &countedConn{Conn: c, n: l.n}, nil
}

type countedConn struct {
	net.Conn
	n    *neighbourhood
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.n.open.Add(-1) })
	return c.Conn.Close()
}

func (n *neighbourhood) asked(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[host]
}

func TestFindsTheUnitsOfANetworkPolitely(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t, "127.0.77")
	n.unit(10, "AS2130000010")
	n.unit(42, "AS2130000042")
	n.unit(254, "AS2130000042") // the same unit under a second address
	n.silent(20, "")
	n.silent(30, "SSH-2.0-OpenSSH_9.2\r\n")
	p := newPlace(t, "units: []\n")
	out, words, code := p.upsagent("probe", "--json", "--tcp", n.net+".0/24:"+n.port)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, words)
	}
	var units []found
	if err := json.Unmarshal([]byte(out), &units); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range units {
		got = append(got, u.TCP+" "+u.Number+" "+u.SameAs)
	}
	at := func(host int) string { return fmt.Sprintf("%s.%d:%s", n.net, host, n.port) }
	want := []string{at(10) + " AS2130000010 ", at(254) + " AS2130000042 " + at(42), at(42) + " AS2130000042 "}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) && !slices.Equal(got, []string{want[0], at(254) + " AS2130000042 ", at(42) + " AS2130000042 " + at(254)}) {
		t.Errorf("found %q, want %q", got, want)
	}
	for _, w := range []string{
		at(20) + ", slave 1: The address accepts a connection and nothing answers.",
		at(30) + ", slave 1: Something answers, but not with Modbus",
		"the same unit as at",
	} {
		if !strings.Contains(words, w) {
			t.Errorf("it does not say %q:\n%s", w, words)
		}
	}
	if strings.Contains(words, ".99:") {
		t.Errorf("an address where nobody is, is news: %s", words)
	}
	for _, host := range []string{"10", "42", "254", "20", "30"} {
		if c := n.asked(host); c != 1 {
			t.Errorf("%d connections to %s.%s, want one", c, n.net, host)
		}
	}
	until(t, "every connection is closed", func() bool { return n.open.Load() == 0 }, nil)
	if n.most.Load() > probeTogether {
		t.Errorf("%d connections at once, want at most %d", n.most.Load(), probeTogether)
	}
}

func TestASearchThatIsStoppedShowsWhatItHasFound(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t, "127.0.78")
	n.unit(1, "AS2130000001")
	n.silent(2, "")
	p := newPlace(t, "units: []\n")
	cmd := exec.CommandContext(t.Context(), testenv.Build(t, "./cmd/agent"), "--config", p.file, "probe", "--write",
		"--tcp", n.net+".0/30:"+n.port, "--unit-id", "1-247")
	cmd.Env = append(os.Environ(), hasty)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the unit has answered and its other addresses were silent", func() bool { return n.asked("1") >= 2 }, nil)
	_ = cmd.Process.Signal(syscall.SIGINT)
	err := cmd.Wait()
	if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("stopped: %v", err)
	}
	if !strings.Contains(out.String(), "AS2130000001") || !strings.Contains(words.String(), "stopped before the search was over: ") {
		t.Errorf("it printed\n%s%s", out.String(), words.String())
	}
	text, err := os.ReadFile(p.file)
	if err != nil || strings.Contains(string(text), n.net) {
		t.Errorf("a search that was stopped wrote: %v\n%s", err, text)
	}
}
