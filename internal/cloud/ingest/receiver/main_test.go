package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// The process as it is used: it says when it is ready, answers a session with a statement that the pinned key verifies, and stops
// cleanly.
func TestTheProcessAnswersASessionAndStops(t *testing.T) {
	broker, dir := testenv.Mosquitto(t, ""), t.TempDir()
	key := filepath.Join(dir, "key")
	cmd := exec.CommandContext(t.Context(), testenv.Build(t, "./internal/cloud/ingest/receiver"),
		"--broker", "tcp://"+broker.Addr, "--dir", filepath.Join(dir, "data"), "--key", key)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("it says %q, %v; want ready", line, err)
	}

	const agent = "rack7"
	nonce, got := wire.ID{1, 2, 3}, make(chan []byte, 10)
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr).SetClientID(agent))
	finish(t, client.Connect())
	defer client.Disconnect(0)
	finish(t, client.Subscribe(wire.Topic(agent, wire.TopicOrders), wire.QoS, func(_ mqtt.Client, m mqtt.Message) {
		if m.Retained() {
			t.Error("a retained order")
		}
		got <- m.Payload()
	}))
	first, err := wire.EncodeState(&wire.State{Session: 1, Online: true, Nonce: nonce, Version: "1"})
	must(t, err)
	finish(t, client.Publish(wire.Topic(agent, wire.TopicState), wire.QoS, true, first))
	select {
	case msg := <-got:
		verify(t, key, agent, nonce, msg)
	case <-time.After(30 * time.Second):
		t.Fatal("no statement after 30 s")
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped: %v", err)
	}
}

func TestUsageAndWhatCannotWorkAreErrors(t *testing.T) {
	broker := "tcp://127.0.0.1:1"
	for _, args := range [][]string{
		{},
		{"--dir", "x", "more"},
		{"--no-such"},
		{"--dir", t.TempDir(), "--broker", broker, "--log", "loud"},
		{"--dir", t.TempDir(), "--broker", "http://x"},
		{"--dir", t.TempDir(), "--broker", broker, "--key", "/dev/null"},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q is no error", strings.Join(args, " "))
		}
	}
}

// lists are none yet.
type lists struct{}

func (lists) Load() (string, error) { return "", nil }
func (lists) Save(string) error     { return nil }

// verify reads the pinned key as an agent does.
func verify(t testing.TB, key, agent string, nonce wire.ID, msg []byte) {
	t.Helper()
	state := t.TempDir()
	text, err := os.ReadFile(key + ".cloud_root")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(state, "cloud_root"), text, 0o600))
	root, err := trust.LoadRoot(state)
	must(t, err)
	s, err := trust.New(agent, root, lists{}).Statement(msg, func(n wire.ID) (time.Duration, bool) { return 0, n == nonce })
	must(t, err)
	if off := time.Since(s.Time); off < -time.Second || off > time.Hour {
		t.Errorf("the statement says %v", s.Time)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func finish(t testing.TB, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(30 * time.Second) {
		t.Fatal("no answer of the broker after 30 s")
	}
	must(t, token.Error())
}
