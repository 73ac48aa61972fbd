package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

// The key file has two lines, "root" and "online", each with a seed of 32 bytes in base64url. Keys for tests: a root key that
// counts has no business on a machine with a network.
const keyLines = "root %s\nonline %s\n"

const onlineKid = "online"

// statements returns what signs the answer to a session's first state, with the keys of a file that is made if it is missing. What
// an agent is to pin, its cloud_root, is written beside it as FILE.cloud_root.
func statements(file string) (func(context.Context, *store.Tx, string, wire.ID, time.Time) ([]byte, error), error) {
	root, online, err := loadKeys(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKeys(file); err == nil {
			root, online, err = loadKeys(file)
		}
	}
	if err != nil {
		return nil, err
	}
	pinned := "ed25519 " + base64.RawURLEncoding.EncodeToString(root.Public().(ed25519.PublicKey)) + "\n"
	if err := os.WriteFile(file+".cloud_root", []byte(pinned), 0o600); err != nil {
		return nil, err
	}
	list, err := sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{
		{Kid: onlineKid, Key: online.Public().(ed25519.PublicKey), Purposes: []string{trust.ForStatement}},
	}})
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, _ *store.Tx, agent string, nonce wire.ID, now time.Time) ([]byte, error) {
		jws, err := sign.Statement(online, onlineKid, list, agent, nonce, trust.Statement{Time: now})
		return []byte(jws), err
	}, nil
}

func makeKeys(file string) error {
	seeds := make([]byte, 2*ed25519.SeedSize)
	_, _ = rand.Read(seeds) // never fails
	text := base64.RawURLEncoding.EncodeToString
	return os.WriteFile(file, fmt.Appendf(nil, keyLines, text(seeds[:ed25519.SeedSize]), text(seeds[ed25519.SeedSize:])), 0o600)
}

func loadKeys(file string) (root, online ed25519.PrivateKey, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var a, b string
	if _, err := fmt.Sscanf(string(text), keyLines, &a, &b); err != nil {
		return nil, nil, fmt.Errorf("%s is not a key file: %w", file, err)
	}
	if root, err = parseSeed(a); err == nil {
		online, err = parseSeed(b)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return root, online, nil
}

func parseSeed(text string) (ed25519.PrivateKey, error) {
	seed, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("a seed of %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
