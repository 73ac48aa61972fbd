package authority

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Made is what Init has made.
type Made struct {
	RootKey string // the file that belongs on another machine
	CA      string // the file by which others can check the server's certificate
}

// ErrInitialised means that everything is there already.
var ErrInitialised = errors.New("this directory has its keys already")

// Init makes the keys of a cloud. It can be run again after an interruption and goes on where it was; a key that is there is never replaced.
// names are by which agents and people reach the server: host names and addresses.
func Init(dir string, names []string) (*Made, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	l, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	defer l.Close()
	if there(dir, onlineFile) && there(dir, serverFile) { // made last
		return nil, fmt.Errorf("%s: %w", dir, ErrInitialised)
	}
	for _, step := range []func(string) error{initCA, initRoot, initOnline, initSecrets, func(dir string) error { return initServer(dir, names) }} {
		if err := step(dir); err != nil {
			return nil, fmt.Errorf("make the keys: %w", err)
		}
	}
	return &Made{filepath.Join(dir, rootKeyFile), filepath.Join(dir, caFile)}, nil
}

func there(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist) // in doubt it is
}

func initCA(dir string) error {
	if there(dir, caFile) {
		return nil
	}
	var key *ecdsa.PrivateKey
	var err error
	if there(dir, caKeyFile) {
		key, err = readKey[*ecdsa.PrivateKey](filepath.Join(dir, caKeyFile))
	} else if key, err = newKey(); err == nil {
		err = saveKey(dir, caKeyFile, key)
	}
	if err != nil {
		return err
	}
	der, err := makeCA(key, now())
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, caFile), encodeCertificates(der))
}

func saveKey[K interface {
	*ecdsa.PrivateKey | ed25519.PrivateKey
}](dir, name string, key K,
) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}))
}

// initRoot makes the root. Where its public half is there, the private one was taken away, as it should be.
func initRoot(dir string) error {
	if there(dir, rootFile) {
		return nil
	}
	var key ed25519.PrivateKey
	var err error
	if there(dir, rootKeyFile) {
		key, err = readKey[ed25519.PrivateKey](filepath.Join(dir, rootKeyFile))
	} else if _, key, err = ed25519.GenerateKey(rand.Reader); err == nil {
		err = saveKey(dir, rootKeyFile, key)
	}
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, rootFile), pem.EncodeToMemory(&pem.Block{Type: typePublic, Bytes: der}))
}

func initOnline(dir string) error {
	if there(dir, onlineFile) {
		return nil
	}
	key, err := readKey[ed25519.PrivateKey](filepath.Join(dir, rootKeyFile))
	if err != nil {
		return fmt.Errorf("%w (the first online key needs it)", err)
	}
	version, err := afterLists(dir)
	if err != nil {
		return err
	}
	o, err := makeOnline(key, version)
	if err != nil {
		return err
	}
	return o.save(dir)
}

func initServer(dir string, names []string) error {
	i, err := openIssuer(dir)
	if err != nil {
		return err
	}
	_, err = i.makeServer(dir, names, now())
	return err
}
