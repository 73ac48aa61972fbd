package testenv

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
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
