package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A flipped bit or a cut in the file does not make it another agent, and the next start finds the file whole.
func TestTheAgentStaysWhoItIs(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{})
	path := filepath.Join(dir, agentName)
	want, err := s.AgentID(t.Context())
	must(t, err)
	whole, err := os.ReadFile(path)
	must(t, err)
	try := func(what string, text []byte) {
		t.Helper()
		must(t, os.WriteFile(path, text, 0o600))
		if got, err := s.AgentID(t.Context()); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", what, got, err, want)
		}
		if got, err := os.ReadFile(path); string(got) != string(whole) || err != nil {
			t.Errorf("%s: the file is %q, %v", what, got, err)
		}
	}
	try("of version 1", []byte(want+"\n"))
	for i := range whole {
		for bit := range 8 {
			text := append([]byte(nil), whole...)
			text[i] ^= 1 << bit
			try("flipped", text)
		}
	}
	for n := 32; n < len(whole); n++ {
		try("cut", whole[:n])
	}
	must(t, os.WriteFile(path, whole[:31], 0o600))
	if got, err := s.AgentID(t.Context()); err == nil {
		t.Errorf("half a name is %s", got)
	}
}
