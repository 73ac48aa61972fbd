package authority

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"upsedge/internal/cloud/store"
)

// Names of the files.
const (
	caKeyFile   = "ca.key"
	caFile      = "ca.pem"
	serverFile  = "server.pem"
	rootKeyFile = "root.key"
	rootFile    = "root.pem"
	onlineFile  = "online.pem"
	lockFile    = "authority.lock"
)

// Types of PEM blocks.
const (
	typeKey         = "PRIVATE KEY" // PKCS #8
	typePublic      = "PUBLIC KEY"  // PKIX
	typeCertificate = "CERTIFICATE"
	typeList        = "UPSEDGE KEYS" // a list of keys, the text of a compact JWS
)

// maxFile is far above any of ours.
const maxFile = 1 << 20

// writeFile makes a file whole or not at all, for its owner's eyes. When it returns nil, the file is on disk.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return store.SyncDir(dir)
}

// lock keeps two processes from changing the files of a directory at one time. The lock goes with the file.
func lock(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeDir makes the directory, or takes the right to it from everybody else: it may have been made by a package.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // a directory: its owner enters it
}

// checkSecret refuses a file that others than its owner and group can read or replace.
func checkSecret(path string) error {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case fi.Mode().Perm()&0o007 != 0:
		return fmt.Errorf("%s: mode %04o lets every user of this machine at it, want 0600 or 0640", path, fi.Mode().Perm())
	}
	return nil
}

// readBlocks returns the PEM blocks of a file by their type; of each the first, of certificates all.
func readBlocks(path string) (first map[string][]byte, certificates [][]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, nil, err
	}
	first = map[string][]byte{}
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return first, certificates, nil
		}
		if b.Type == typeCertificate {
			certificates = append(certificates, b.Bytes)
		}
		if first[b.Type] == nil {
			first[b.Type] = b.Bytes
		}
	}
}

// readKey reads a private key of kind K.
func readKey[K crypto.Signer](path string) (key K, err error) {
	if err := checkSecret(path); err != nil {
		return key, err
	}
	blocks, _, err := readBlocks(path)
	if err != nil {
		return key, err
	}
	return parseKey[K](path, blocks[typeKey])
}

func parseKey[K crypto.Signer](path string, der []byte) (key K, err error) {
	if der == nil {
		return key, fmt.Errorf("%s: no PEM block of type %s in it", path, typeKey)
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return key, fmt.Errorf("%s: it is damaged", path) // the library's words may hold a part of it
	}
	key, ok := any.(K)
	if !ok {
		return key, fmt.Errorf("%s: a key of kind %T, want %T", path, any, key)
	}
	return key, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}), nil
}

func encodeCertificates(ders ...[]byte) (text []byte) {
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: der})...)
	}
	return text
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }
