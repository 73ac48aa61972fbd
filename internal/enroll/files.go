package enroll

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	typeKey  = "PRIVATE KEY" // PKCS #8
	typeCert = "CERTIFICATE"
)

// dirName is the directory below the state directory.
const dirName = "cloud"

// maxFile is far above any of ours.
const maxFile = 1 << 20

// A dir is the directory of a state directory where enrolments are kept.
type dir struct {
	path     string
	uid, gid int // of the state directory; -1 where nothing is to be changed
}

func (d dir) file(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// openDir makes the directory. What root makes belongs to whom the state directory belongs to.
func openDir(stateDir string) (d dir, err error) {
	d = dir{filepath.Join(stateDir, dirName), -1, -1}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return d, err
	}
	fi, err := os.Stat(stateDir)
	if err != nil {
		return d, err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		d.uid, d.gid = int(st.Uid), int(st.Gid)
	}
	return d, d.mkdir()
}

// mkdir makes a directory below.
func (d dir) mkdir(names ...string) error {
	path := d.file(names...)
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a directory: its owner enters it
		return err
	}
	if err := os.Lchown(path, d.uid, d.gid); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// write makes a file whole or not at all. When it returns nil, the file is on disk.
func (d dir) write(data []byte, names ...string) error {
	path := d.file(names...)
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chown(d.uid, d.gid), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (d dir) remove(names ...string) error {
	path := d.file(names...)
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lock keeps a second enrolment away. It is not the lock of the agent, which may run.
func (d dir) lock() (io.Closer, error) {
	f, err := os.OpenFile(d.file("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errors.New("another enrolment is at work here"), f.Close())
	}
	if err := f.Chown(d.uid, d.gid); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// blocks returns the PEM blocks of a file.
func blocks(path string) (all []*pem.Block, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	for err == nil {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		all = append(all, b)
	}
	return all, err
}

// readKey returns the private key and the certificates among blocks.
func readKey(path string) (key *ecdsa.PrivateKey, certs []*x509.Certificate, err error) {
	all, err := blocks(path)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range all {
		switch b.Type {
		case typeKey:
			parsed, err := x509.ParsePKCS8PrivateKey(b.Bytes)
			key, _ = parsed.(*ecdsa.PrivateKey)
			if err != nil || key == nil {
				return nil, nil, fmt.Errorf("%s: no key of ECDSA in it", path) // the library's words may hold a part of it
			}
		case typeCert:
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", path, err)
			}
			certs = append(certs, c)
		}
	}
	if key == nil {
		return nil, nil, fmt.Errorf("%s: no key in it", path)
	}
	return key, certs, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}), nil
}

func readURL(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
