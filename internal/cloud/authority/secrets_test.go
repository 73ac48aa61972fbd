package authority_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// TestT61TheKeyOfSecretsIsAFileOfItsOwn: made by init or, where an earlier version was, at the first start; for its owner alone; and
// never made anew beside a database that another one has sealed.
func TestT61TheKeyOfSecretsIsAFileOfItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		file := filepath.Join(w.dir, "secrets.key")
		fi, err := os.Stat(file)
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", fi, err)
		}
		must(t, os.Remove(file)) // an earlier version made none
		keys, err := w.Secrets(t.Context())
		must(t, err)
		sealed := keys.Seal("a", "x")
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", fi, err)
		}
		again, err := w.Secrets(t.Context())
		must(t, err)
		if got, err := again.Open("a", sealed); err != nil || got != "x" {
			t.Errorf("at the next start: %q, %v", got, err)
		}
		text, err := os.ReadFile(file)
		must(t, err)

		must(t, os.Remove(file))
		if _, err := w.Secrets(t.Context()); err == nil || !strings.Contains(err.Error(), "is missing") {
			t.Errorf("without its file: %v", err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("another key was made beside a sealed database")
		}
		other := newWorld(t, db) // a directory of its own, the same database
		if _, err := other.Secrets(t.Context()); err == nil || !strings.Contains(err.Error(), "is not the key") {
			t.Errorf("with another directory's: %v", err)
		}
		must(t, os.WriteFile(file, text, 0o644))
		if _, err := w.Secrets(t.Context()); err == nil {
			t.Error("a key that everybody can read was taken")
		}
		must(t, os.Chmod(file, 0o600))
		if _, err := w.Secrets(t.Context()); err != nil {
			t.Error(err)
		}
		// Another line in front: the proof is sealed anew, and the old line can go.
		fresh, err := authority.Init(t.TempDir(), names)
		must(t, err)
		front, err := os.ReadFile(filepath.Join(filepath.Dir(fresh.CA), "secrets.key"))
		must(t, err)
		must(t, os.WriteFile(file, append(front, text...), 0o600))
		_, err = w.Secrets(t.Context())
		must(t, err)
		must(t, os.WriteFile(file, front, 0o600))
		if _, err := w.Secrets(t.Context()); err != nil {
			t.Errorf("behind a rotation: %v", err)
		}
	})
}
