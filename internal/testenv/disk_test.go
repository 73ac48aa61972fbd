package testenv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The cut must take what was not flushed, or every test that rests on it proves nothing, and leave what was.
func TestACutTakesWhatWasNotFlushedAndNothingElse(t *testing.T) {
	for _, fs := range Filesystems {
		t.Run(fs, func(t *testing.T) {
			d := NewDisk(t, fs)
			flushed, other := filepath.Join(d.Dir, "flushed"), filepath.Join(d.Dir, "other")
			want := bytes.Repeat([]byte("flushed "), 10000)
			write(t, flushed, want, true)
			write(t, other, want, false)
			d.Cut(CutHard)
			if err := os.WriteFile(other, want, 0o600); err == nil {
				t.Error("a file was written after the cut")
			}
			d.PowerUp()
			if got, err := os.ReadFile(flushed); err != nil || !bytes.Equal(got, want) {
				t.Errorf("what was flushed: %d bytes, %v", len(got), err)
			}
			if got, err := os.ReadFile(other); err == nil && bytes.Equal(got, want) {
				t.Error("what was never flushed survived")
			}
		})
	}
}

// A cut must leave the file system whole, as a real one does: what it finds after many of them is what was flushed, and no mixture of
// that with what was in memory.
func TestCutsLeaveTheFileSystemWhole(t *testing.T) {
	for _, fs := range Filesystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			d, r := NewDisk(t, fs), rand.New(rand.NewPCG(1, 2))
			for n := range 100 {
				churn(t, d, filepath.Join(d.Dir, fmt.Sprint(n)), r)
				d.PowerUp() // says it, if it is not
				if n%3 == 0 {
					_ = os.RemoveAll(filepath.Join(d.Dir, fmt.Sprint(n)))
				}
			}
		})
	}
}

// churn makes, writes, flushes, renames and removes files in dir until the power goes, some milliseconds later.
func churn(t *testing.T, d *Disk, dir string, r *rand.Rand) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for k := range 2 {
		work.Go(func() {
			for n := 0; ; n++ {
				path := filepath.Join(dir, fmt.Sprint(k, "-", n%40))
				if n%3 == 0 {
					_ = os.Remove(path)
				}
				f, err := os.Create(path + ".new")
				if err != nil {
					return // the power is gone
				}
				_, _ = f.Write(make([]byte, 997*n%20000))
				_, _, _ = f.Sync(), f.Close(), os.Rename(path+".new", path)
			}
		})
	}
	time.Sleep(time.Duration(5+r.IntN(30)) * time.Millisecond) // the instant of the cut is the input
	how := CutHard
	if r.IntN(4) == 0 {
		how = CutLogged
	}
	d.Cut(how)
	work.Wait()
}

func write(t *testing.T, path string, b []byte, flush bool) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if flush {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}
