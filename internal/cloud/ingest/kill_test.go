package ingest

import (
	"bufio"
	"bytes"
	"context"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

const (
	childEnv    = "UPSEDGE_INGEST_TEST_CHILD"
	childBroker = "UPSEDGE_INGEST_TEST_BROKER"
)

// child is the receiver as a process, until it is killed.
func child(c store.Config, broker string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, c)
	if err != nil {
		return err
	}
	cfg := ConsumerConfig{Broker: &url.URL{Scheme: "tcp", Host: broker}, ClientID: "receiver", Ready: func() { println("ready") }}
	return NewConsumer(New(db, Options{}), cfg).Run(ctx)
}

// A process is a receiver that can be killed.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
}

// startProcess starts a receiver on a database and waits until it is ready.
func startProcess(t testing.TB, c store.Config, broker string) *process {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	p := &process{t, exec.CommandContext(t.Context(), exe)}
	p.cmd.Env = append(os.Environ(), childEnv+"="+c.Driver+" "+c.DSN, childBroker+"="+broker)
	said, err := p.cmd.StderrPipe()
	must(t, err)
	must(t, p.cmd.Start())
	lines := bufio.NewScanner(said)
	for lines.Scan() && lines.Text() != "ready" {
		t.Log("receiver: ", lines.Text())
	}
	go func() {
		for lines.Scan() && !strings.Contains(lines.Text(), "ready") {
			t.Log("receiver: ", lines.Text())
		}
	}()
	return p
}

func (p *process) kill() {
	p.t.Helper()
	must(p.t, p.cmd.Process.Kill())
	if err := p.cmd.Wait(); err == nil || p.cmd.ProcessState.ExitCode() != -1 {
		p.t.Fatalf("the receiver ended by itself: %v", err)
	}
}

// T-87: at whatever instant it is killed, what it has acknowledged is there when it starts again, and what the broker was not told
// comes again.
func TestAKilledReceiverHasAllThatItAcknowledged(t *testing.T) {
	both(t, func(t *testing.T) { killRounds(t, 4) })
}

func TestSoakAKilledReceiverHasAllThatItAcknowledged(t *testing.T) {
	if !soak {
		t.Skip("long: set UPSEDGE_SOAK, or make soak")
	}
	both(t, func(t *testing.T) { killRounds(t, 100) })
}

func killRounds(t *testing.T, rounds int) {
	broker := testenv.Mosquitto(t, brokerConfig)
	c, b := config(t), newBox(t, "rack7")
	agent := newPeer(t, broker.Addr, b)
	const window = 64
	sent := uint64(0)
	publish := func(to uint64) {
		for ; sent < to; sent++ {
			agent.publish(b.publish(b.alarm(sent+1, "text")))
			agent.publish(b.publish(b.block(sent+1, int64(sent)*1000, 10)))
		}
	}
	acked := func() uint64 { return min(agent.through(wire.Events), agent.through(wire.Samples)) }
	for round := range rounds {
		p := startProcess(t, c, broker.Addr)
		goal := sent + rand.Uint64N(400)
		for end := time.Now().Add(30 * time.Second); acked() < goal && time.Now().Before(end); {
			publish(min(acked()+window, goal))
			time.Sleep(time.Millisecond)
		}
		if acked() < goal {
			t.Fatalf("round %d: acknowledged up to %d of %d after 30 s", round, acked(), goal)
		}
		publish(sent + rand.Uint64N(window)) // it is in the middle of these
		time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
		p.kill()
		check(t, c, b, map[wire.Lane]uint64{wire.Events: agent.through(wire.Events), wire.Samples: agent.through(wire.Samples)})
	}
	// What was on its way at the last kill is in the broker's hands: nobody sends it again.
	p := startProcess(t, c, broker.Addr)
	await(t, "the rest", func() bool { return acked() == sent })
	p.kill()
	check(t, c, b, map[wire.Lane]uint64{wire.Events: sent, wire.Samples: sent})
}

// check compares what is on disk with what was sent and acknowledged.
func check(t testing.TB, c store.Config, b *box, acked map[wire.Lane]uint64) {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	must(t, err)
	defer db.Close()
	r := NewReader(db)
	lanes, err := r.Lanes(t.Context())
	must(t, err)
	for _, l := range lanes {
		next := uint64(1)
		must(t, r.Records(t.Context(), l, func(s Stored) error {
			want := b.alarm(s.Record.Seq, "text")
			if l.Lane == wire.Samples {
				want = b.block(s.Record.Seq, int64(s.Record.Seq-1)*1000, 10)
			}
			if s.Record.Seq <= acked[l.Lane] && s.Record.Seq != next {
				t.Errorf("%v: record %d is followed by %d, acknowledged up to %d", l.Lane, next-1, s.Record.Seq, acked[l.Lane])
			}
			if next = s.Record.Seq + 1; !bytes.Equal(s.Record.Payload, want.Payload) {
				t.Errorf("%v: record %d has another content", l.Lane, s.Record.Seq)
			}
			return nil
		}))
		if l.Through < acked[l.Lane] || next <= acked[l.Lane] {
			t.Errorf("%v: on disk up to %d (mark %d), acknowledged %d", l.Lane, next-1, l.Through, acked[l.Lane])
		}
	}
}
