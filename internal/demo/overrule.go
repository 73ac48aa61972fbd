package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"upsedge/internal/cloud/store"
)

// overrule is somebody with a hand in the cloud's database: the cloud believes that a device is on Advanced for an hour, and so signs
// what it should refuse. No grant version rises, no log has it, and the site is told nothing it would believe.
func overrule(ctx context.Context, dir, serial string) error {
	db, err := store.Open(ctx, store.Config{Driver: store.SQLite, DSN: filepath.Join(dir, "cloud", "cloud.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	err = db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE devices SET plan = 'advanced', valid_until = $1 WHERE serial = $2 AND ended_at IS NULL`,
			time.Now().Add(time.Hour).UnixMilli(), serial)
		if err == nil && n != 1 {
			err = fmt.Errorf("the cloud has no device with the serial number %q", serial)
		}
		return err
	})
	if err == nil {
		fmt.Println("the cloud believes that the device is on Advanced; the site was told nothing")
	}
	return errors.Join(err, db.Close())
}
