package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// One bit in the files beside the database: the log with the last commits, the mark, the keys, and what else lies there (T-24).
func TestNoOtherFileMayLie(t *testing.T) {
	perFile := 2
	if soak {
		perFile = 200
	}
	sp := newSpecimen(t, 1<<20, true)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var harms []harm
	for name, b := range sp.files {
		for range perFile {
			if len(b) > 0 && name != fileName {
				harms = append(harms, bitFlip(name, r.IntN(len(b)), uint(r.IntN(8))))
			}
		}
	}
	if !slices.ContainsFunc(harms, func(h harm) bool { return strings.HasPrefix(h.file, keysName) }) {
		t.Error("no key file among them")
	}
	sufferAll(t, sp, harms)
}

// Files that end too early, and foreign ones in the directory (T-24).
func TestNoFileMayBeCutShort(t *testing.T) {
	perFile := 1
	if soak {
		perFile = 100
	}
	sp := newSpecimen(t, 1<<20, true)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var harms []harm
	for name, b := range sp.files {
		for range perFile {
			if len(b) == 0 || name == agentName { // without a name the agent says so, and does not take another
				continue
			}
			n := r.IntN(len(b))
			harms = append(harms, harm{file: name, change: func(whole []byte) []byte { return whole[:n] }, what: fmt.Sprintf("%s, %d bytes of %d", name, n, len(b))})
		}
	}
	for _, name := range []string{"keys/note", "keys/999999", "keys/7.new", "store.db.broken-x", "store.db.broken-99999", "store.db-journal", "core", "lost+found/x"} {
		sp.files[name] = nil
		foreign := bytes.Repeat([]byte("foreign "), r.IntN(2000))
		harms = append(harms, harm{file: name, change: func([]byte) []byte { return foreign }, what: "foreign file " + name})
	}
	sufferAll(t, sp, harms)
}
