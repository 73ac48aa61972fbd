// Package trust verifies what the cloud has signed: the list of keys, the statement that is bound to one session of one agent, and
// commands (design, sections 6 and 7; T-02, T-06, T-10, T-11). It holds the verifying half only; package sign below it makes what
// is verified here. FORMAT.md of package wire describes them byte by byte.
//
// Nothing here asks a clock: how old a nonce is, the caller says, measured on the monotonic clock of the boot (R4). Nothing is
// believed because of where it came from: broker and TLS play no part in authority.
//
// What is read is read once, from the very bytes that were signed. A second way to write the same is refused wherever there is
// one: escapes, other base64, names in another case, fields twice or unknown.
package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of what is signed. They are checked before anything is parsed.
const (
	MaxStatement = 256 << 10 // bytes of a statement as it crosses the network; a thousand units take about as much
	MaxKeyList   = 16 << 10  // bytes of the list of keys inside it
	MaxKeys      = 32        // in a list
	MaxPurposes  = 8         // of a key
	MaxEntries   = 2048      // of a statement: one to bind and one to erase for each of a thousand units
	MaxEnded     = 256       // actors in an entry
	maxHeader    = 256       // bytes of a decoded JWS header
	maxVersion   = 1<<53 - 1 // of keys, grants: what every JSON reader holds exactly
)

// A Refusal says why something signed was not accepted. Nothing of it has taken effect.
type Refusal struct {
	Code   string // reason code of the rules: MALFORMED, BAD_SIGNATURE, NOT_BOUND, EXPIRED
	Event  string // the security event of the threat model that it counts as
	Detail string
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

func malformed(format string, args ...any) error {
	return &Refusal{"MALFORMED", "cmd.refused.malformed", fmt.Sprintf(format, args...)}
}

func badSignature(detail string) error {
	return &Refusal{"BAD_SIGNATURE", "cmd.refused.signature", detail}
}

// wrongKey is for a signature that may well be right, by a key that may not make it.
func wrongKey(format string, args ...any) error {
	return &Refusal{"BAD_SIGNATURE", "cmd.refused.key", fmt.Sprintf(format, args...)}
}

func notForUs(format string, args ...any) error {
	return &Refusal{"NOT_BOUND", "cmd.refused.signature", fmt.Sprintf(format, args...)}
}

func expired(format string, args ...any) error {
	return &Refusal{"EXPIRED", "cmd.refused.stale", fmt.Sprintf(format, args...)}
}

// rootFile is where enrolment pins the root key. An agent that has it is enrolled.
const rootFile = "cloud_root"

// Enrolled reports whether the agent of a state directory has a cloud. In doubt it has: its records then wait.
func Enrolled(stateDir string) bool {
	_, err := os.Lstat(filepath.Join(stateDir, rootFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// LoadRoot returns the root key pinned in the state directory. An error that is fs.ErrNotExist says that the agent is not
// enrolled; any other, that it is and cannot verify anything.
func LoadRoot(stateDir string) (ed25519.PublicKey, error) {
	path := filepath.Join(stateDir, rootFile)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would be waited for, and not even a stop end it
	if err != nil {
		return nil, fmt.Errorf("root key of the cloud: %w", err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("root key of the cloud: %s is not a file", path)
	}
	line := make([]byte, 128) // 52 are enough
	n, err := f.Read(line)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("root key of the cloud: %w", err)
	}
	text, ok := strings.CutPrefix(strings.TrimSuffix(string(line[:n]), "\n"), "ed25519 ")
	if !ok {
		return nil, fmt.Errorf("root key of the cloud: %s is not one line of ed25519 and a key", path)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("root key of the cloud: %s: %w", path, err)
	}
	return key, nil
}

// SaveRoot pins the root key: from now on the agent is enrolled.
func SaveRoot(stateDir string, root ed25519.PublicKey) error {
	line := "ed25519 " + base64.RawURLEncoding.EncodeToString(root) + "\n"
	if err := writeFile(filepath.Join(stateDir, rootFile), line); err != nil {
		return fmt.Errorf("root key of the cloud: %w", err)
	}
	return nil
}

// parseKey reads a public key: 32 bytes in base64url without padding.
func parseKey(text string) (ed25519.PublicKey, error) {
	b, err := decode64(text)
	if err != nil {
		return nil, err
	}
	if len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("a key of %d bytes, want %d", len(b), ed25519.PublicKeySize)
	}
	if weak(b) {
		return nil, errors.New("a weak key: anyone can sign for it")
	}
	return b, nil
}

// decode64 reads base64url without padding in its one and only form.
func decode64(text string) ([]byte, error) {
	if i := strings.IndexFunc(text, func(r rune) bool { return !plain64(r) }); i >= 0 {
		return nil, fmt.Errorf("character %q is not of base64url", text[i])
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

func plain64(r rune) bool {
	return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

// RootFile is where the root of a state directory is pinned.
func RootFile(stateDir string) string { return filepath.Join(stateDir, rootFile) }
