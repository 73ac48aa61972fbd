package authority

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
)

// secretsFile has the keys that seal what stands in the database and must be read again: not in it, so that a copy of the database alone
// gives no second factor away.
const secretsFile = "secrets.key"

func initSecrets(dir string) error {
	if there(dir, secretsFile) {
		return nil
	}
	return writeFile(filepath.Join(dir, secretsFile), []byte("# Opens second factors and secrets of webhooks. Of several lines the first one seals.\n"+secret.Make()+"\n"))
}

// proofOf is what the row of the table sealing is sealed for.
const proofOf = "sealing proof"

// Secrets returns the keys that seal secrets of the database (Options.DB). A database that has none yet gets the file's, which is made
// where it is missing; one that was sealed with another key is refused: what it holds could not be opened, and what would be sealed now
// could not be by others.
func (a *Authority) Secrets(ctx context.Context) (*secret.Keys, error) {
	l, err := lock(a.dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var keys *secret.Keys
	err = a.o.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		var proof string
		known, err := readProof(ctx, tx, &proof)
		if err != nil {
			return err
		}
		if known && !there(a.dir, secretsFile) {
			return fmt.Errorf("%s is missing, and the database has secrets that it sealed: put it back, from a backup or from where another server of this database runs", a.path(secretsFile))
		}
		if err := initSecrets(a.dir); err != nil {
			return err
		}
		if keys, err = readSecrets(a.path(secretsFile)); err != nil {
			return err
		}
		if known {
			if _, err := keys.Open(proofOf, proof); err != nil {
				return fmt.Errorf("%s is not the key of this database's secrets: %w", a.path(secretsFile), err)
			}
			if !keys.Stale(proof) {
				return nil
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO sealing (id, proof) VALUES ('proof', $1) ON CONFLICT (id) DO UPDATE SET proof = $1`, keys.Seal(proofOf, "upsedge"))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return keys, nil
}

func readProof(ctx context.Context, tx *store.Tx, proof *string) (known bool, err error) {
	rows, err := tx.Query(ctx, `SELECT proof FROM sealing WHERE id = 'proof'`)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		known = true
		if err := rows.Scan(proof); err != nil {
			return false, err
		}
	}
	return known, errors.Join(rows.Err(), rows.Close())
}

func readSecrets(path string) (*secret.Keys, error) {
	if err := checkSecret(path); err != nil {
		return nil, err
	}
	fi, err := os.Stat(path)
	if err == nil && fi.Size() > maxFile {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := secret.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}
