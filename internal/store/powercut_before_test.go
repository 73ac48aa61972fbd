package store

import (
	"os"
	"path/filepath"
	"testing"

	"upsedge/internal/wire"
)

// breakFile makes the database one that the next opening sets aside: a new stream begins, and all that was in the old one is lost
// with it.
func breakFile(t *testing.T, l *life) {
	path := filepath.Join(l.dir, fileName)
	if sizeOf(path) == 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("no database"), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	agent := l.agent
	l.ledger, l.acked, l.wasAside = *newLedger(), [3]uint64{}, true
	l.agent, l.aside = agent, true
}

// oldStore1 is what a program of version 1 left in testdata.
type oldStore1 struct {
	states map[string]string
	gaps   []wire.Gap // of its damaged records
}

func (o *oldStore1) damaged(g wire.Gap) bool {
	for _, known := range o.gaps {
		if g == known {
			return true
		}
	}
	return false
}

// layVersion1 puts the files of version 1 into the directory, on the disk for good, and notes what they hold as accepted.
func layVersion1(t *testing.T, l *life) {
	must(t, os.CopyFS(l.dir, os.DirFS(oldStore(t))))
	for _, name := range []string{fileName, fileName + "-wal", markName, "."} {
		f, err := os.Open(filepath.Join(l.dir, name))
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
	}
	must(t, syncDir(filepath.Dir(l.dir)))

	s := reopen(t, oldStore(t), Options{BootID: bootID})
	defer s.crash()
	l.stream = s.Stream()
	l.before.states = make(map[string]string)
	for _, unit := range flipUnits {
		state, err := s.AlarmState(t.Context(), unit)
		must(t, err)
		l.before.states[unit] = string(state)
	}
	for _, lane := range []wire.Lane{wire.Samples, wire.Events} {
		records := all(t, s, lane)
		l.floor[lane] = records[0].Seq - 1
		for _, r := range records {
			k := &knownRecord{saidRecord: said(r), sure: true, anyUnit: true}
			if k.Gap != nil && k.Gap.Reason == wire.GapDamage && r.Boot > 2 {
				l.before.gaps = append(l.before.gaps, *k.Gap)
				continue
			}
			l.known[lane][r.Seq] = k
		}
	}
}
