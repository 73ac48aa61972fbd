package trust

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"upsedge/internal/wire"
)

// Bounds of a command.
const (
	MaxCommand = 8 << 10 // bytes as it crosses the network
	MaxParams  = 16      // parameters
	maxParam   = 64      // characters of a parameter's value
	maxLife    = 25 * time.Hour
)

// A Command orders one action of one device, once (design, section 7). That it was signed for this agent is all that Verifier.Command
// says: it may still be old, repeated, foreign to the device's owner or not allowed.
type Command struct {
	Agent        string
	Device       string // serial number
	Epoch        uint32
	ID           wire.ID       // of the order; the same each time it is sent
	Counter      uint64        // rises per agent
	Nonce        wire.ID       // of the session
	MaxAge       time.Duration // of the nonce, from its announcement; whole seconds
	Action       string
	Params       map[string]string // never nil
	Actor        string            // opaque
	Role         string
	Plan         string
	GrantVersion uint64
	MFA          bool
	IssuedAt     time.Time // shown, never judged by
}

// readCommand reads the payload of a command. The signature decides whether it is one.
func readCommand(payload []byte) (*Command, error) {
	o := parse("the command", payload, "v", "purpose", "agent", "device", "epoch", "id", "counter", "nonce", "max_age", "action", "params",
		"actor", "role", "plan", "grant_version", "mfa", "issued_at")
	o.is("v", "1")
	o.is("purpose", `"`+ForCommand+`"`)
	c := &Command{
		Agent: o.text("agent", 64, opaqueChar), Device: o.text("device", 64, serialChar), Epoch: uint32(o.number("epoch", 1, 1<<32-1)),
		ID: o.id("id"), Counter: o.number("counter", 1, maxVersion), Nonce: o.id("nonce"),
		MaxAge: time.Duration(o.number("max_age", 1, uint64(maxLife/time.Second))) * time.Second,
		Action: o.text("action", 32, nameChar), Params: o.params("params"),
		Actor: o.text("actor", 64, opaqueChar), Role: o.text("role", 32, nameChar), Plan: o.text("plan", 32, nameChar),
		GrantVersion: o.number("grant_version", 0, maxVersion), MFA: o.flag("mfa"), IssuedAt: o.time("issued_at"),
	}
	if o.err == nil && (c.Actor == wire.OnSite || c.Role == wire.OnSite) {
		o.fail("is of %q, which no command from afar is", wire.OnSite)
	}
	return c, o.err
}

// flag returns true or false.
func (o *object) flag(name string) bool {
	if o.err != nil {
		return false
	}
	switch string(o.fields[name]) {
	case "true":
		return true
	case "false":
		return false
	}
	o.fail("has %q that is neither true nor false", name)
	return false
}

// params returns an object of texts: at most MaxParams, names of 1 to 32 lower case letters and underscores, values of 1 to 64 printable
// characters without quote and backslash.
func (o *object) params(name string) map[string]string {
	if o.err != nil {
		return nil
	}
	out := map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(o.fields[name]))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		o.fail("has %q that is not an object", name)
		return nil
	}
	for dec.More() {
		t, err := dec.Token()
		key, isText := t.(string)
		if err != nil || !isText || !paramName(key) || len(out) == MaxParams {
			o.fail("has a parameter %.40q, not a name or one too many", key)
			return nil
		}
		t, err = dec.Token()
		value, isText := t.(string)
		if _, twice := out[key]; err != nil || !isText || twice || !paramValue(value) {
			o.fail("has the parameter %q twice, or not as a text of 1 to %d characters", key, maxParam)
			return nil
		}
		out[key] = value
	}
	if _, err := dec.Token(); err != nil {
		o.fail("has %q that is not an object", name)
	} else if _, err := dec.Token(); err != io.EOF {
		o.fail("has something behind %q", name)
	}
	return out
}

func paramName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func paramValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= maxParam
}
