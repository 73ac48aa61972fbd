package authority_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

type memory struct{ list string }

func (m *memory) Load() (string, error)  { return m.list, nil }
func (m *memory) Save(list string) error { m.list = list; return nil }

// TestT10ARotatedKeySignsNothingAnyMore: agents take the new one with a statement, and the one before is refused from then on.
func TestT10ARotatedKeySignsNothingAnyMore(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	agent := trust.New("g_1", w.PublicRoot(), &memory{})
	nonce := wire.ID{1}
	announced := func(n wire.ID) (time.Duration, bool) { return 0, n == nonce }
	old, err := w.SignStatement("g_1", nonce, trust.Statement{Time: time.Now()})
	must(t, err)
	if _, err := agent.Statement(old, announced); err != nil {
		t.Error(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "root.key") // where it belongs
	must(t, os.Rename(filepath.Join(w.dir, "root.key"), elsewhere))
	if _, err := authority.RotateKey(w.dir, filepath.Join(w.dir, "root.key")); !errors.Is(err, fs.ErrNotExist) && err == nil {
		t.Error("rotated without the root key")
	}
	version, err := authority.RotateKey(w.dir, elsewhere)
	must(t, err)
	if now, err := w.KeyVersion(); version != 2 || err != nil || now != version {
		t.Errorf("version %d, in force %d, %v", version, now, err)
	}
	next, err := w.SignStatement("g_1", nonce, trust.Statement{Time: time.Now()})
	must(t, err)
	if _, err := agent.Statement(next, announced); err != nil {
		t.Error(err)
	}
	var no *trust.Refusal
	if _, err := agent.Statement(old, announced); !errors.As(err, &no) || no.Code != "BAD_SIGNATURE" {
		t.Errorf("what the old key signed: %v", err)
	}
	if _, err := authority.Open(w.dir, authority.Options{}); err != nil {
		t.Errorf("without the root key: %v", err)
	}
	other := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	if _, err := authority.RotateKey(w.dir, filepath.Join(other.dir, "root.key")); err == nil {
		t.Error("rotated with the root key of another cloud")
	}
	if _, err := w.Sign(trust.ForKeys, nil); err == nil {
		t.Error("the online key signed a list of keys")
	}
}

func TestT61KeysAreForTheirOwnerAlone(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		if fi, err := d.Info(); err != nil || fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, fi.Mode(), err)
		}
		return nil
	}))
	must(t, os.Chmod(filepath.Join(w.dir, "ca.key"), 0o644))
	if _, err := authority.Open(w.dir, authority.Options{}); err == nil {
		t.Error("a key that everybody can read was taken")
	}
}

// TestInitGoesOnWhereItWasAndReplacesNoKey: after a crash behind any of its files.
func TestInitGoesOnWhereItWasAndReplacesNoKey(t *testing.T) {
	order := []string{"ca.key", "ca.pem", "root.key", "root.pem", "keys-1.jws", "online.pem", "server.pem"}
	for n := range order {
		dir, whole := t.TempDir(), t.TempDir()
		_, err := authority.Init(whole, names)
		must(t, err)
		for _, name := range order[:n] {
			text, err := os.ReadFile(filepath.Join(whole, name))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		}
		_, err = authority.Init(dir, names)
		must(t, err)
		for _, name := range order[:n] {
			was, _ := os.ReadFile(filepath.Join(whole, name))
			is, _ := os.ReadFile(filepath.Join(dir, name))
			if string(was) != string(is) {
				t.Errorf("after %d files: %s is another one", n, name)
			}
		}
		if _, err := authority.Open(dir, authority.Options{}); err != nil {
			t.Errorf("after %d files: %v", n, err)
		}
		if _, err := authority.Init(dir, names); !errors.Is(err, authority.ErrInitialised) {
			t.Errorf("again: %v", err)
		}
	}
}

// TestTheServersCertificateIsMadeAnewInTime, and when its names change; agents that trust the authority notice nothing.
func TestTheServersCertificateIsMadeAnewInTime(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	was, err := w.ServerEnds()
	must(t, err)
	w.clock.pass(300 * 24 * time.Hour)
	if is, err := w.ServerEnds(); err != nil || !is.After(was) {
		t.Errorf("it ends %v, ended %v: %v", is, was, err)
	}
	a, err := authority.Open(w.dir, authority.Options{Names: []string{"new.example"}})
	must(t, err)
	c, err := a.ServerTLS().GetCertificate(nil)
	must(t, err)
	if err := c.Leaf.VerifyHostname("new.example"); err != nil {
		t.Error(err)
	}
}
