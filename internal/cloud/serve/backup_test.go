package serve

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// TestADatabaseThatWasPutBackGoesAhead of what sites may remember: counters, versions of rights, epochs.
func TestADatabaseThatWasPutBackGoesAhead(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		l.write(func(ctx context.Context, tx *store.Tx) error {
			for _, row := range []string{
				`INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
				VALUES ('d_1', 'AS1', 2, 'g_1', 'a_1', 'o_1', 'rack', 'basic', 0, 7, 1)`,
				`INSERT INTO serials (serial, epoch) VALUES ('AS1', 2)`,
				`INSERT INTO order_agents (agent, counter, session, nonce, stated, allow) VALUES ('g_1', 41, 0, '', 0, '')`,
			} {
				if _, err := tx.Exec(ctx, row); err != nil {
					return err
				}
			}
			return nil
		})
		for range 2 {
			_, err := Restored(t.Context(), l.cfg)
			must(t, err)
		}
		if n := l.count(`SELECT COUNT(*) FROM event_log WHERE device = 'd_1' AND action = 'database.restore'`); n != 2 {
			t.Errorf("%d entries say that the database was put back", n)
		}
		for _, query := range []string{
			`SELECT COUNT(*) FROM devices WHERE grant_version = 2000007 AND epoch = 2`, `SELECT COUNT(*) FROM serials WHERE epoch = 2000002`,
			`SELECT COUNT(*) FROM order_agents WHERE agent = 'g_1' AND counter = 2000041`, `SELECT COUNT(*) FROM order_agents WHERE agent = '' AND counter = 2000000`, `SELECT COUNT(*) FROM grant_plans WHERE device = 'd_1' AND version = 2000007`,
		} {
			if l.count(query) != 1 {
				t.Error(query)
			}
		}
	})
}

// TestABackupHasEveryKeyButTheRoot, and is nobody else's to read.
func TestABackupHasEveryKeyButTheRoot(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		dir := filepath.Join(t.TempDir(), "backup")
		_, err := Backup(t.Context(), l.cfg, dir)
		must(t, err)
		if _, err := Backup(t.Context(), l.cfg, dir); err == nil {
			t.Error("a directory that is there was taken")
		}
		have, err := os.ReadDir(l.cfg.DataDir)
		must(t, err)
		for _, f := range have {
			name := f.Name()
			fi, err := os.Stat(filepath.Join(dir, name))
			switch name {
			case "root.key", "authority.lock":
				if err == nil {
					t.Errorf("%s is in it", name)
				}
			default:
				if err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", name, fi, err)
				}
			}
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", fi, err)
		}
	})
}

// TestABackupThatFailsLeavesNothingThatLooksLikeOne: what is called by its name is whole.
func TestABackupThatFailsLeavesNothingThatLooksLikeOne(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		root := t.TempDir()
		dir := filepath.Join(root, "backup")
		keys, err := filepath.Glob(filepath.Join(l.cfg.DataDir, "ca*"))
		must(t, err)
		if len(keys) == 0 {
			t.Fatal("no key of the authority")
		}
		must(t, os.Rename(keys[0], keys[0]+".away")) // behind the database, it stops there
		if _, err := Backup(t.Context(), l.cfg, dir); err == nil {
			t.Fatal("a key is missing, and nothing is wrong")
		}
		if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		must(t, os.Rename(keys[0]+".away", keys[0]))
		must(t, os.Mkdir(dir+unfinished, 0o700)) // of one that was killed
		if _, err := Backup(t.Context(), l.cfg, dir); err == nil {
			t.Error("what another one is making was taken")
		}
		must(t, os.Remove(dir+unfinished))
		_, err = Backup(t.Context(), l.cfg, dir+"/")
		must(t, err)
		if left, err := os.ReadDir(root); err != nil || len(left) != 1 {
			t.Errorf("there is %v, %v", left, err)
		}
	})
}
