// Package sign makes what package trust verifies. Only the cloud has it, and tests of the agent that need a cloud: private
// keys are handed in, nothing is kept.
package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// Payload signs bytes as they are, for a purpose.
func Payload(key ed25519.PrivateKey, kid, purpose string, payload []byte) (string, error) {
	o := (&jose.SignerOptions{}).WithType(jose.ContentType(trust.Type(purpose)))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, o)
	if err != nil {
		return "", fmt.Errorf("sign %s with %q: %w", purpose, kid, err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign %s with %q: %w", purpose, kid, err)
	}
	return jws.CompactSerialize()
}

type keyJSON struct {
	Kid      string   `json:"kid"`
	Key      string   `json:"key"`
	Purposes []string `json:"purposes"`
}

// Keys signs a list of keys with the root.
func Keys(root ed25519.PrivateKey, list trust.Keys) (string, error) {
	keys := []keyJSON{}
	for _, k := range list.Keys {
		keys = append(keys, keyJSON{k.Kid, base64.RawURLEncoding.EncodeToString(k.Key), k.Purposes})
	}
	return marshal(root, trust.RootKid, trust.ForKeys, struct {
		V       int       `json:"v"`
		Purpose string    `json:"purpose"`
		Version uint64    `json:"version"`
		Keys    []keyJSON `json:"keys"`
	}{1, trust.ForKeys, list.Version, keys})
}

// Statement signs a statement for one session of an agent. keys is a list that Keys signed and that names key as kid; Keys of
// the statement is not looked at.
func Statement(key ed25519.PrivateKey, kid, keys, agent string, nonce wire.ID, s trust.Statement) (string, error) {
	entries := []any{}
	for _, e := range s.Entries {
		entries = append(entries, entry(e))
	}
	return marshal(key, kid, trust.ForStatement, struct {
		V       int     `json:"v"`
		Purpose string  `json:"purpose"`
		Agent   string  `json:"agent"`
		Nonce   wire.ID `json:"nonce"`
		Time    string  `json:"time"`
		Keys    string  `json:"keys"`
		Entries []any   `json:"entries"`
	}{1, trust.ForStatement, agent, nonce, format(s.Time), keys, entries})
}

type endedJSON struct {
	Actor        string `json:"actor"`
	GrantVersion uint64 `json:"grant_version"`
}

func entry(e trust.Entry) any {
	if b := e.Bind; b != nil {
		ended := []endedJSON{}
		for _, a := range b.Ended {
			ended = append(ended, endedJSON(a))
		}
		return struct {
			Entry        string      `json:"entry"`
			Device       string      `json:"device"`
			Epoch        uint32      `json:"epoch"`
			Plan         string      `json:"plan"`
			ValidUntil   string      `json:"valid_until"`
			GrantVersion uint64      `json:"grant_version"`
			Ended        []endedJSON `json:"ended"`
		}{"bind", e.Device, b.Epoch, b.Plan, format(b.ValidUntil), b.GrantVersion, ended}
	}
	return struct {
		Entry  string  `json:"entry"`
		Device string  `json:"device"`
		Order  wire.ID `json:"order"`
		Epoch  uint32  `json:"epoch"`
		Role   string  `json:"role"`
	}{"erase", e.Device, e.Erase.Order, e.Erase.Epoch, e.Erase.Role}
}

// Command signs a command.
func Command(key ed25519.PrivateKey, kid string, c trust.Command) (string, error) {
	params := c.Params
	if params == nil {
		params = map[string]string{}
	}
	return marshal(key, kid, trust.ForCommand, struct {
		V            int               `json:"v"`
		Purpose      string            `json:"purpose"`
		Agent        string            `json:"agent"`
		Device       string            `json:"device"`
		Epoch        uint32            `json:"epoch"`
		ID           wire.ID           `json:"id"`
		Counter      uint64            `json:"counter"`
		Nonce        wire.ID           `json:"nonce"`
		MaxAge       int64             `json:"max_age"`
		Action       string            `json:"action"`
		Params       map[string]string `json:"params"`
		Actor        string            `json:"actor"`
		Role         string            `json:"role"`
		Plan         string            `json:"plan"`
		GrantVersion uint64            `json:"grant_version"`
		MFA          bool              `json:"mfa"`
		IssuedAt     string            `json:"issued_at"`
	}{
		1, trust.ForCommand, c.Agent, c.Device, c.Epoch, c.ID, c.Counter, c.Nonce, int64(c.MaxAge / time.Second), c.Action, params,
		c.Actor, c.Role, c.Plan, c.GrantVersion, c.MFA, format(c.IssuedAt),
	})
}

func format(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func marshal(key ed25519.PrivateKey, kid, purpose string, v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an escape is refused
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("sign %s: %w", purpose, err)
	}
	return Payload(key, kid, purpose, bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
}
