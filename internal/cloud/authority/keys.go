package authority

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

// ForLog is the purpose of signatures over heads of the Event Log (T-86). Agents never ask for it.
const ForLog = "log"

// An online key signs what agents are told. It cannot name keys: that is the root's alone.
type online struct {
	key     ed25519.PrivateKey
	kid     string
	list    string // as the root signed it
	version uint64
}

// makeOnline makes a new online key and has the root name it, and no other, in the list of that version.
func makeOnline(root ed25519.PrivateKey, version uint64) (*online, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	o := &online{key: key, kid: fmt.Sprintf("online-%d", version), version: version}
	o.list, err = sign.Keys(root, trust.Keys{Version: version, Keys: []trust.Key{
		{Kid: o.kid, Key: public, Purposes: []string{trust.ForStatement, trust.ForCommand, ForLog}},
	}})
	return o, err
}

// save puts key and list into their one file. Before that, the list stands beside those before it.
func (o *online) save(dir string) error {
	if err := writeFile(filepath.Join(dir, fmt.Sprintf("keys-%d.jws", o.version)), []byte(o.list+"\n")); err != nil {
		return err
	}
	text, err := encodeKey(o.key)
	if err != nil {
		return err
	}
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: typeList, Bytes: []byte(o.list)})...)
	return writeFile(filepath.Join(dir, onlineFile), text)
}

// loadOnline reads the online key. What it signs would be refused by every agent if the root had not named it: that is an error here.
func loadOnline(dir string, root ed25519.PublicKey) (*online, error) {
	path := filepath.Join(dir, onlineFile)
	if err := checkSecret(path); err != nil {
		return nil, err
	}
	blocks, _, err := readBlocks(path)
	if err != nil {
		return nil, err
	}
	o := &online{list: string(blocks[typeList])}
	if o.key, err = parseKey[ed25519.PrivateKey](path, blocks[typeKey]); err != nil {
		return nil, err
	}
	list, err := trust.VerifyKeys(root, o.list)
	if err != nil {
		return nil, fmt.Errorf("%s: the list of keys: %w", path, err)
	}
	o.version = list.Version
	for _, k := range list.Keys {
		if k.Key.Equal(o.key.Public()) {
			o.kid = k.Kid
			return o, nil
		}
	}
	return nil, fmt.Errorf("%s: its list of keys does not have its key", path)
}

func loadRoot(dir string) (ed25519.PublicKey, error) {
	path := filepath.Join(dir, rootFile)
	blocks, _, err := readBlocks(path)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(blocks[typePublic])
	root, ok := key.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: no public key of Ed25519 in it", path)
	}
	return root, nil
}

// RotateKey makes a new online key, named by the root whose private key stands in rootKey, in a list of the next version. Agents take it with
// their next statement and from then on refuse what the key before it signs (T-10). A program that serves takes it within a moment.
func RotateKey(dir, rootKey string) (version uint64, err error) {
	l, err := lock(dir)
	if err != nil {
		return 0, fmt.Errorf("new online key: %w", err)
	}
	defer l.Close()
	root, err := loadRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("new online key: %w", err)
	}
	key, err := readKey[ed25519.PrivateKey](rootKey)
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("new online key: %s is not there: bring the root key from where it is kept", rootKey)
	} else if err != nil {
		return 0, fmt.Errorf("new online key: %w", err)
	}
	if !root.Equal(key.Public()) {
		return 0, fmt.Errorf("new online key: %s is the root key of another cloud", rootKey)
	}
	version = 1
	if now, err := loadOnline(dir, root); err == nil {
		version = now.version + 1
	} else if version, err = afterLists(dir); err != nil { // it was lost: the lists say how far they had come
		return 0, fmt.Errorf("new online key: %w", err)
	}
	o, err := makeOnline(key, version)
	if err != nil {
		return 0, fmt.Errorf("new online key: %w", err)
	}
	if err := o.save(dir); err != nil {
		return 0, fmt.Errorf("new online key: %w", err)
	}
	return version, nil
}

// afterLists returns the version behind that of every list on disk.
func afterLists(dir string) (uint64, error) {
	names, err := filepath.Glob(filepath.Join(dir, "keys-*.jws"))
	if err != nil {
		return 0, err
	}
	next := uint64(1)
	for _, name := range names {
		var n uint64
		if _, err := fmt.Sscanf(filepath.Base(name), "keys-%d.jws", &n); err == nil && n >= next {
			next = n + 1
		}
	}
	return next, nil
}

// signer returns the online key that is in force: that of the file, read again when it was replaced.
func (a *Authority) signer() (*online, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fi, err := os.Stat(filepath.Join(a.dir, onlineFile))
	if err != nil {
		return nil, fmt.Errorf("online key: %w", err)
	}
	if a.online != nil && os.SameFile(fi, a.onlineFile) && fi.ModTime().Equal(a.onlineFile.ModTime()) {
		return a.online, nil
	}
	o, err := loadOnline(a.dir, a.root)
	if err != nil {
		return nil, fmt.Errorf("online key: %w", err)
	}
	a.online, a.onlineFile = o, fi
	return o, nil
}

// SignStatement signs a statement for the session of an agent that announced nonce, with the list of keys inside. Keys of s is not looked at.
func (a *Authority) SignStatement(agent string, nonce wire.ID, s trust.Statement) ([]byte, error) {
	o, err := a.signer()
	if err != nil {
		return nil, err
	}
	text, err := sign.Statement(o.key, o.kid, o.list, agent, nonce, s)
	return []byte(text), err
}

// SignCommand signs a command. An agent that has had no statement since the last rotation refuses it.
func (a *Authority) SignCommand(c trust.Command) ([]byte, error) {
	o, err := a.signer()
	if err != nil {
		return nil, err
	}
	text, err := sign.Command(o.key, o.kid, c)
	return []byte(text), err
}

// Sign signs bytes for a purpose: ForLog.
func (a *Authority) Sign(purpose string, payload []byte) (jws string, err error) {
	if purpose == trust.ForKeys {
		return "", errors.New("the online key names no keys: that is the root's")
	}
	o, err := a.signer()
	if err != nil {
		return "", err
	}
	return sign.Payload(o.key, o.kid, purpose, payload)
}

// KeyVersion is the version of the list of keys in force. Where it is above that of a session's last statement, a new statement has to come
// before the next command.
func (a *Authority) KeyVersion() (uint64, error) {
	o, err := a.signer()
	if err != nil {
		return 0, err
	}
	return o.version, nil
}

// PublicRoot is what agents pin.
func (a *Authority) PublicRoot() ed25519.PublicKey { return a.root }

var now = time.Now // of certificates made at Init and by the server
