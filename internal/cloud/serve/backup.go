package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
)

// unfinished stands behind the name of a backup's directory until all of it is there.
const unfinished = ".unfinished"

// Backup copies what a control plane is made of into a new directory, beside a server that is at work: its SQLite database as it is at one
// instant, and the keys behind it, so that none is missing that the database names. The directory has its name when it is whole and on disk;
// what a crash leaves has another. It returns what to tell the person.
func Backup(ctx context.Context, cfg *Config, dir string) (done []string, err error) {
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return nil, err
	}
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("%s is there already: a backup makes its directory", dir)
	}
	part := dir + unfinished
	if err := os.Mkdir(part, 0o700); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there: another backup is at work, or one was cut off and can be deleted", part)
	} else if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if cfg.Database.Driver == store.SQLite {
		name := filepath.Base(cfg.Database.DSN)
		if err := store.Backup(ctx, cfg.Database, filepath.Join(part, name)); err != nil {
			return nil, err
		}
		done = append(done, "database: "+filepath.Join(dir, name))
	}
	names, err := authority.Backup(cfg.DataDir, part)
	if err != nil {
		return nil, err
	}
	done = append(done, "keys: "+ups.Count(len(names), "file"))
	if err := finish(part, dir); err != nil {
		return nil, err
	}
	if cfg.Database.Driver != store.SQLite {
		done = append(done, "not in it: the database, which PostgreSQL copies (pg_dump)")
	}
	return append(done, "not in it: root.key, which is kept elsewhere; the configuration"), nil
}

// finish gives a directory its name, on disk.
func finish(part, dir string) error {
	if err := store.SyncDir(part); err != nil {
		return err
	}
	if err := os.Rename(part, dir); err != nil {
		return err
	}
	return store.SyncDir(filepath.Dir(dir))
}

// ahead is by how much the numbers of a database go up that was put back: more than orders, plans and shares can have used since the copy.
const ahead = 1_000_000

// Restored has a database that was put back from a copy go ahead of what agents may remember: counters of orders, versions of rights, epochs. It
// can be run again, and does no harm where nothing was lost.
func Restored(ctx context.Context, cfg *Config) (done []string, err error) {
	o, err := OpenOperator(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	var devices, agents int
	err = o.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if devices, err = device.New(device.Config{}).Restored(ctx, tx, ahead); err != nil {
			return err
		}
		agents, err = order.Restored(ctx, tx, ahead)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("ahead of what %s may remember, with %s", ups.Count(agents, "agent"), ups.Count(devices, "device"))}, nil
}
