package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestABackupIsOfOneInstant: two rows are always written together, and stand together in a copy that is made meanwhile.
func TestABackupIsOfOneInstant(t *testing.T) {
	dir := t.TempDir()
	c := Config{Driver: SQLite, DSN: filepath.Join(dir, "cloud.db")}
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pair := func(n int) error {
		return db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
			for _, table := range []string{"serials (serial, epoch)", "order_confirmed (serial, epoch, agent, grant_version)"} {
				values := map[bool]string{true: "($1, 1)", false: "($1, 1, 'g', 1)"}[table[0] == 's']
				if _, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES "+values, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	stop, ended, began := make(chan struct{}), make(chan error, 1), make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			if n == 50 {
				close(began)
			}
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err := pair(n); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-began
	to := Config{Driver: SQLite, DSN: filepath.Join(dir, "copy.db"), Existing: true}
	err = Backup(t.Context(), c, to.DSN)
	close(stop)
	if e := <-ended; err != nil || e != nil {
		t.Fatal(err, e)
	}
	if err := Backup(t.Context(), c, to.DSN); err == nil {
		t.Error("a file that is there was written over")
	}
	if fi, err := os.Stat(to.DSN); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	copied, err := Open(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	var one, other int
	err = copied.Read(t.Context(), func(ctx context.Context, tx *Tx) error {
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM serials`).Scan(&one); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM order_confirmed`).Scan(&other)
	})
	if err != nil || one != other || one < 50 {
		t.Errorf("%d rows and %d, %v", one, other, err)
	}
}
