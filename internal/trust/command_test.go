package trust_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

const commandHeader = `{"alg":"EdDSA","kid":"online-1","typ":"upsedge-command"}`

const commandPayload = `{"v":1,"purpose":"command","agent":"box-7","device":"AS1234567890","epoch":4,"id":"01020300000000000000000000000000",` +
	`"counter":17,"nonce":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","max_age":60,"action":"reboot.ups","params":{"delay":"configured"},` +
	`"actor":"u_7Fq","role":"owner","plan":"advanced","grant_version":9,"mfa":true,"issued_at":"2026-03-01T09:30:00.125Z"}`

func testCommand() trust.Command {
	return trust.Command{
		Agent: testAgent, Device: "AS1234567890", Epoch: 4, ID: wire.ID{1, 2, 3}, Counter: 17, Nonce: testNonce, MaxAge: time.Minute,
		Action: "reboot.ups", Params: map[string]string{"delay": "configured"}, Actor: "u_7Fq", Role: "owner", Plan: "advanced", GrantVersion: 9, MFA: true,
		IssuedAt: testTime,
	}
}

// knowing is a Verifier that has a list of keys.
func knowing(t testing.TB, agent string) *trust.Verifier {
	t.Helper()
	return trust.New(agent, public(testRoot), &lists{list: mustKeys(t, testList(7))})
}

// TestGoldenCommand holds the format: the bytes in testdata are accepted and say this.
func TestGoldenCommand(t *testing.T) {
	msg, err := sign.Command(testOnline, "online-1", testCommand())
	if err != nil {
		t.Fatal(err)
	}
	msg = golden(t, "command.jws", msg)
	got, err := knowing(t, testAgent).Command([]byte(msg))
	if err != nil {
		t.Fatal(err)
	}
	want := testCommand()
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("-signed +verified:\n%s", d)
	}
	if got, _ := base64.RawURLEncoding.DecodeString(strings.Split(msg, ".")[1]); string(got) != commandPayload {
		t.Errorf("payload %s", got)
	}
}

func commandRefused(t *testing.T, name, msg, code string) {
	t.Helper()
	if c, err := knowing(t, testAgent).Command([]byte(msg)); err == nil || trust.Code(err) != code {
		t.Errorf("%s: %+v, %v, want %s", name, c, err, code)
	}
}

// TestT11MalformedCommandsAreRefused is the table of T-11 for commands: each row is signed by the right key.
func TestT11MalformedCommandsAreRefused(t *testing.T) {
	const malformed, bad = "MALFORMED", "BAD_SIGNATURE"
	if _, err := knowing(t, testAgent).Command([]byte(envelope(testOnline, commandHeader, commandPayload))); err != nil {
		t.Fatalf("as it should be: %v", err)
	}
	payload := func(name, from, to string) {
		t.Helper()
		commandRefused(t, name, envelope(testOnline, commandHeader, replace(t, commandPayload, from, to)), malformed)
	}
	for _, field := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(commandPayload, "{"), "}"), ",") {
		payload("without "+field, field, `"x":1`)
		payload("twice "+field, field, field+","+field)
		name, value, _ := strings.Cut(field, ":")
		payload("null "+field, field, name+":null")
		payload("in capitals "+field, field, strings.ToUpper(name)+":"+value)
		if !strings.HasPrefix(value, "{") {
			payload("an object "+field, field, name+":{}")
		}
	}
	payload("unknown field", `{"v"`, `{"x":1,"v"`)
	payload("another version", `"v":1`, `"v":2`)
	payload("a statement", `"command"`, `"statement"`)
	payload("no epoch", `"epoch":4`, `"epoch":0`)
	payload("counter 0", `"counter":17`, `"counter":0`)
	payload("counter beyond 53 bits", `"counter":17`, `"counter":9007199254740992`)
	payload("age 0", `"max_age":60`, `"max_age":0`)
	payload("age of a week", `"max_age":60`, `"max_age":604800`)
	payload("age with a fraction", `"max_age":60`, `"max_age":60.5`)
	payload("factor a text", `"mfa":true`, `"mfa":"true"`)
	payload("factor 1", `"mfa":true`, `"mfa":1`)
	payload("action with a space", `reboot.ups`, `reboot ups`)
	payload("long action", `reboot.ups`, strings.Repeat("a", 33))
	payload("params a list", `{"delay":"configured"}`, `["delay"]`)
	payload("parameter a number", `"configured"`, `90`)
	payload("parameter an object", `"configured"`, `{"a":"b"}`)
	payload("parameter empty", `"configured"`, `""`)
	payload("parameter long", `configured`, strings.Repeat("a", 65))
	payload("parameter twice", `"delay":"configured"`, `"delay":"configured","delay":"none"`)
	payload("parameter in capitals", `"delay"`, `"Delay"`)
	payload("parameter with no name", `"delay"`, `""`)
	payload("parameter with an escape", `"delay"`, `"del\u0061y"`)
	payload("deep", `"configured"`, strings.Repeat("[", 3000)+strings.Repeat("]", 3000))
	var many []string
	for i := range trust.MaxParams + 1 {
		many = append(many, fmt.Sprintf(`"%s":"x"`, strings.Repeat("a", i+1)))
	}
	payload("too many parameters", `"delay":"configured"`, strings.Join(many, ","))
	payload("not ended", `Z"}`, `Z"`)

	header := func(name, from, to, code string) {
		t.Helper()
		commandRefused(t, "header: "+name, envelope(testOnline, replace(t, commandHeader, from, to), commandPayload), code)
	}
	header("type of a statement", "upsedge-command", "upsedge-statement", malformed)
	header("type of firmware", "upsedge-command", "upsedge-firmware", malformed)
	header("algorithm none", "EdDSA", "none", malformed)
	header("unknown key", "online-1", "online-2", bad)
	header("a key for firmware", "online-1", "firmware-1", bad)
	header("the root", "online-1", "root", bad)
	commandRefused(t, "signed by another", envelope(testOther, commandHeader, commandPayload), bad)
	commandRefused(t, "signed by the root", envelope(testRoot, commandHeader, commandPayload), bad)
	whole := envelope(testOnline, commandHeader, commandPayload)
	commandRefused(t, "too long", whole+strings.Repeat("A", trust.MaxCommand), malformed)
	commandRefused(t, "another's payload", replace(t, whole, strings.Split(whole, ".")[1], strings.Split(envelope(testOnline, commandHeader, replace(t, commandPayload, `"epoch":4`, `"epoch":5`)), ".")[1]), bad)
	commandRefused(t, "another agent", envelope(testOnline, commandHeader, replace(t, commandPayload, "box-7", "box-8")), "NOT_BOUND")
}

// TestEDGE1AndT02NoAlteredByteOfACommandIsAccepted is T-02: every bit of a good command flipped, and every prefix of it.
func TestEDGE1AndT02NoAlteredByteOfACommandIsAccepted(t *testing.T) {
	msg, err := sign.Command(testOnline, "online-1", testCommand())
	if err != nil {
		t.Fatal(err)
	}
	v := knowing(t, testAgent)
	for i := range len(msg) {
		for bit := range 8 {
			b := []byte(msg)
			b[i] ^= 1 << bit
			if c, err := v.Command(b); err == nil || trust.Code(err) == "" {
				t.Fatalf("byte %d, bit %d: %+v, %v", i, bit, c, err)
			}
		}
		if _, err := v.Command([]byte(msg[:i])); trust.Code(err) != "MALFORMED" {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
}

func TestEDGE1ACommandNeedsAListOfKeysAndOfThoseTheNewest(t *testing.T) {
	msg, err := sign.Command(testOnline, "online-1", testCommand())
	if err != nil {
		t.Fatal(err)
	}
	disk := &lists{}
	v := trust.New(testAgent, public(testRoot), disk)
	if _, err := v.Command([]byte(msg)); trust.Code(err) != "BAD_SIGNATURE" {
		t.Errorf("before any list: %v", err)
	}
	if _, err := v.Statement([]byte(mustSign(t, mustKeys(t, testList(7)), testStatement())), testSession); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Command([]byte(msg)); err != nil {
		t.Errorf("with its list: %v", err)
	}
	if _, err := trust.New(testAgent, public(testRoot), disk).Command([]byte(msg)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	// A newer list without the key for commands.
	list := testList(8)
	list.Keys[0].Purposes = []string{trust.ForStatement}
	if _, err := v.Statement([]byte(mustSign(t, mustKeys(t, list), testStatement())), testSession); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*trust.Verifier{v, trust.New(testAgent, public(testRoot), disk)} {
		if _, err := v.Command([]byte(msg)); trust.Code(err) != "BAD_SIGNATURE" {
			t.Errorf("by a key whose right was taken away: %v", err)
		}
	}
}

func FuzzCommand(f *testing.F) {
	whole := envelope(testOnline, commandHeader, commandPayload)
	f.Add([]byte(whole), false)
	f.Add([]byte(commandPayload), true)
	v := knowing(f, testAgent)
	f.Fuzz(func(t *testing.T, b []byte, payload bool) {
		msg := string(b)
		if payload { // the signature is right, so that what reads the payload is reached
			msg = envelope(testOnline, commandHeader, msg)
		}
		c, err := v.Command([]byte(msg))
		if err != nil {
			if trust.Code(err) == "" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if !payload && msg != whole {
			t.Fatalf("accepted what nobody signed: %q", msg)
		}
		again, err := sign.Command(testOnline, "online-1", *c)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := v.Command([]byte(again)); err != nil || !cmp.Equal(c, second) {
			t.Fatalf("accepted %q, read as %+v, and again as %+v, %v", payloadOf(msg), c, second, err)
		}
	})
}
