package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// soak makes the random tests run long.
var soak = os.Getenv("UPSEDGE_SOAK") != ""

const childEnv = "UPSEDGE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if job := os.Getenv(cutEnv); job != "" {
		runCutChild(job, os.Stdout)
		return
	}
	if !soak {
		// A hundred times, the default, take half a minute under the race detector.
		if err := flag.Set("rapid.checks", "12"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// numbered is a payload by which the test knows its record again.
func numbered(seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, seq)
	return bytes.Repeat(b, 1+int(seq*7%400))
}

// child writes until it is killed, and says on stdout what was accepted, one line each. On a full disk events go on.
func child(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, dir, Options{MaxBytes: 64 << 20})
	if err != nil {
		return err
	}
	for _, i := range s.Crashed() {
		g := wire.Gap{Unit: i.Unit, From: i.Last, To: at(int(s.Boot()) * 1000), Reason: wire.GapCrash}
		if err := s.PutGap(ctx, g, g.To); err != nil {
			return err
		}
		fmt.Println("event", s.Stats().Events.Last)
	}
	if err := s.Begin(ctx, "rack-a", at(int(s.Boot())*1000)); err != nil {
		return err
	}
	fmt.Println("begun", s.Boot())
	for n := int(s.Boot()) * 1000; n < int(s.Boot())*1000+100000; n++ {
		seq := s.Stats().Samples.Last + 1
		b := Samples{Unit: "rack-a", First: at(n), Last: at(n + 1), Payload: numbered(seq)}
		b2 := Samples{Unit: "rack-a", First: at(n), Last: at(n + 1), Payload: numbered(seq + 1)}
		err := s.PutSamples(ctx, []Samples{b, b2})
		switch {
		case diskFull(err):
			fmt.Println("refused", seq)
		case err != nil:
			return err
		default:
			fmt.Println("sample", seq+1)
		}
		kind := ups.Raise
		if n%2 == 1 {
			kind = ups.Clear
		}
		if err := s.PutEvents(ctx, "rack-a", fmt.Append(nil, s.Stats().Events.Last+1), []Event{event(101, kind, n)}); err != nil {
			return err
		}
		fmt.Println("event", s.Stats().Events.Last)
		if n%10 == 9 && err == nil {
			fmt.Println("acknowledging", seq-5)
			if err := s.Ack(ctx, wire.Samples, seq-5); err != nil {
				return err
			}
		}
	}
	return nil
}

// killed runs a child, kills it after some of its lines and returns the highest number of each word it said.
func killed(t *testing.T, dir string, lines int) map[string]uint64 {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := make(map[string]uint64)
	sc := bufio.NewScanner(out)
	for n := 1; sc.Scan(); n++ {
		var word string
		var number uint64
		if _, err := fmt.Sscan(sc.Text(), &word, &number); err == nil {
			said[word] = number
		}
		if n == lines {
			must(t, cmd.Process.Kill()) // what is still in the pipe was accepted, too
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return said
}

func TestAKilledProcessLosesNothingItAccepted(t *testing.T) {
	rounds := 10
	if soak {
		rounds = 500
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, uint64(rounds)))
	begun := 0
	for round := range rounds {
		said := killed(t, dir, 1+r.IntN(120))
		if said["begun"] > 0 {
			begun++
		}
		s := reopen(t, dir, Options{MaxBytes: 64 << 20})
		checkKilled(t, s, said)
		gaps := checkGaps(t, s)
		// Killed between the commit and the word, a run may have begun without saying so.
		if n := gaps + len(s.Crashed()); n < begun || n > round+1 {
			t.Fatalf("round %d: %d gaps and %d open interruptions of %d runs", round, gaps, len(s.Crashed()), begun)
		}
		s.crash()
	}
}

func checkKilled(t *testing.T, s *Store, said map[string]uint64) {
	t.Helper()
	st := s.Stats()
	if s.SetAside() != "" || st.Samples.Last < said["sample"] || st.Events.Last < said["event"] {
		t.Fatalf("set aside %q, samples to %d of %d, events to %d of %d", s.SetAside(), st.Samples.Last, said["sample"], st.Events.Last, said["event"])
	}
	samples := all(t, s, wire.Samples)
	if st.Samples.Last%2 != 0 || st.Samples.Records != int64(len(samples)) {
		t.Fatalf("half a commit: last sample %d, %d records, counted %d", st.Samples.Last, len(samples), st.Samples.Records)
	}
	for i, r := range samples {
		if want := st.Samples.Last - uint64(len(samples)) + 1 + uint64(i); r.Seq != want || !bytes.Equal(r.Payload, numbered(r.Seq)) {
			t.Fatalf("sample %d where %d belongs, or with other content", r.Seq, want)
		}
	}
	if first := st.Samples.Last - uint64(len(samples)) + 1; said["acknowledging"] > 0 && first > said["acknowledging"]+1 {
		t.Fatalf("first sample is %d, only %d was acknowledged", first, said["acknowledging"])
	}
	for i, r := range all(t, s, wire.Events) {
		if r.Seq != uint64(i+1) {
			t.Fatalf("event %d where %d belongs", r.Seq, i+1)
		}
	}
}

// checkGaps counts the gap records and fails if two say the same.
func checkGaps(t *testing.T, s *Store) int {
	t.Helper()
	seen := make(map[wire.Stamp]bool)
	for _, r := range all(t, s, wire.Events) {
		if r.Class != wire.ClassGap {
			continue
		}
		g, err := wire.DecodeGap(r.Payload)
		must(t, err)
		if seen[g.From] {
			t.Fatalf("two gaps from %v", g.From)
		}
		seen[g.From] = true
	}
	for _, i := range s.Crashed() {
		if seen[i.Last] {
			t.Fatalf("gap %v and still open", i)
		}
	}
	return len(seen)
}
