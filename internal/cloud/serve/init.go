package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
)

// First is the first account; without an address there is none.
type First struct{ Email, Password, Name, Organisation string }

// Init makes the keys and the database of a new control plane, and its first account, and returns what to tell the person. It can be run again
// after an interruption: what is there stays.
func Init(ctx context.Context, cfg *Config, first First, log *slog.Logger) (done []string, err error) {
	made, err := authority.Init(cfg.DataDir, []string{cfg.Name})
	switch {
	case errors.Is(err, authority.ErrInitialised) && first.Email == "":
		return nil, err
	case errors.Is(err, authority.ErrInitialised):
	case err != nil:
		return nil, err
	default:
		done = append(done, "keys and authority: "+cfg.DataDir,
			"root key: "+made.RootKey+" - move it to another machine now; only `upscloud key rotate` needs it",
			"certificate of the authority, for curl --cacert: "+made.CA)
	}
	db, err := store.Open(ctx, cfg.Database)
	if err != nil {
		return done, err
	}
	defer db.Close()
	done = append(done, "database: "+db.Dialect())
	if first.Email == "" {
		return done, nil
	}
	q, err := mail.New(db, cfg.Mail, mail.Options{Log: log})
	if err != nil {
		return done, fmt.Errorf("mail: %w", err)
	}
	accounts, err := account.New(db, q, account.Options{URL: cfg.URL, Log: log})
	if err != nil {
		return done, err
	}
	a, err := accounts.CreateOperator(ctx, account.Person(first))
	if err != nil {
		return done, err
	}
	return append(done, "first account: "+a.Email), nil
}

// RotateKey puts a new key for statements and commands in the place of the old one and returns the version of its list.
func RotateKey(cfg *Config, rootKey string) (uint64, error) {
	return authority.RotateKey(cfg.DataDir, rootKey)
}

// OpenSecret opens a file that nobody else may read.
func OpenSecret(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm()&0o077 != 0 {
		return nil, errors.Join(err, fmt.Errorf("%s can be read by others: chmod 600 it", path), f.Close())
	}
	return f, nil
}
