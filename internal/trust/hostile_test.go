package trust_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
)

// envelope makes a JWS by hand: whatever header, whatever payload, a right signature over both.
func envelope(key ed25519.PrivateKey, header, payload string) string {
	e := base64.RawURLEncoding
	signed := e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(payload))
	return signed + "." + e.EncodeToString(ed25519.Sign(key, []byte(signed)))
}

const goodHeader = `{"alg":"EdDSA","kid":"online-1","typ":"upsedge-statement"}`

// payload is a statement of three entries' worth of fields, with keys in place of %s.
const goodPayload = `{"v":1,"purpose":"statement","agent":"box-7","nonce":"0f1e2d3c4b5a69788796a5b4c3d2e1f0",` +
	`"time":"2026-03-01T09:30:00.125Z","keys":"%s","entries":[` +
	`{"entry":"erase","device":"AS1","order":"01020300000000000000000000000000","epoch":3,"role":"owner"},` +
	`{"entry":"bind","device":"AS1","epoch":4,"plan":"basic","valid_until":"2027-03-01T00:00:00.000Z","grant_version":9,"ended":[{"actor":"a_7Fq","grant_version":8}]}]}`

const (
	keysHeader  = `{"alg":"EdDSA","kid":"root","typ":"upsedge-keys"}`
	keysPayload = `{"v":1,"purpose":"keys","version":7,"keys":[{"kid":"online-1","key":"NqiutxEkEtVsxaihSuWa-GsMr3O4vJloYNtxIwc2aPo","purposes":["statement"]}]}`
)

func refused(t *testing.T, name, msg, code string) {
	t.Helper()
	_, err := newVerifier(t).Statement([]byte(msg), testSession)
	var r *trust.Refusal
	if !errors.As(err, &r) || r.Code != code || !strings.HasPrefix(r.Event, "cmd.refused.") {
		t.Errorf("%s: %v, want %s", name, err, code)
	}
}

// TestMalformedEnvelopesAreRefused is the table of T-11: each row is signed by the right key.
func TestMalformedEnvelopesAreRefused(t *testing.T) {
	keys := envelope(testRoot, keysHeader, keysPayload)
	good := fmt.Sprintf(goodPayload, keys)
	if _, err := newVerifier(t).Statement([]byte(envelope(testOnline, goodHeader, good)), testSession); err != nil {
		t.Fatalf("as it should be: %v", err)
	}
	const malformed, bad = "MALFORMED", "BAD_SIGNATURE"
	header := func(name, from, to, code string) {
		t.Helper()
		h := replace(t, goodHeader, from, to)
		refused(t, "header: "+name, envelope(testOnline, h, good), code)
	}
	header("no algorithm", `"alg":"EdDSA",`, ``, malformed)
	header("algorithm none", `EdDSA`, `none`, malformed)
	header("another algorithm", `EdDSA`, `HS256`, malformed)
	header("algorithm in another case", `EdDSA`, `eddsa`, malformed)
	header("algorithm twice", `{`, `{"alg":"EdDSA",`, malformed)
	header("name in another case", `"alg"`, `"Alg"`, malformed)
	header("both cases", `{`, `{"ALG":"none",`, malformed)
	header("no key id", `"kid":"online-1",`, ``, malformed)
	header("empty key id", `online-1`, ``, malformed)
	header("key id null", `"online-1"`, `null`, malformed)
	header("key id a number", `"online-1"`, `1`, malformed)
	header("key id a path", `online-1`, `../online-1`, malformed)
	header("key id an address", `online-1`, `https://x/k`, malformed)
	header("long key id", `online-1`, strings.Repeat("o", 33), malformed)
	header("key id with a zero byte", `online-1`, "online-1\x00", malformed)
	header("unknown key id", `online-1`, `online-2`, bad)
	header("the root's id", `online-1`, `root`, bad)
	header("critical field", `{`, `{"crit":["x"],"x":1,`, malformed)
	header("empty critical", `{`, `{"crit":[],`, malformed)
	header("own key", `{`, `{"jwk":{"kty":"OKP","crv":"Ed25519","x":"NqiutxEkEtVsxaihSuWa-GsMr3O4vJloYNtxIwc2aPo"},`, malformed)
	header("address of a key", `{`, `{"jku":"https://x/","x5u":"https://x/",`, malformed)
	header("payload not encoded", `{`, `{"b64":false,`, malformed)
	header("own nonce", `{`, `{"nonce":"x",`, malformed)
	header("no type", `,"typ":"upsedge-statement"`, ``, malformed)
	header("type of a command", `upsedge-statement`, `upsedge-command`, malformed)
	header("type JWT", `upsedge-statement`, `JWT`, malformed)
	header("escape", `"alg"`, `"\u0061lg"`, malformed)
	header("something behind it", `}`, `}{}`, malformed)
	header("a list", goodHeader, `["EdDSA"]`, malformed)
	header("nothing", goodHeader, ``, malformed)
	header("too long", `}`, strings.Repeat(" ", 300)+`}`, malformed)

	payload := func(name, from, to, code string) {
		t.Helper()
		refused(t, "payload: "+name, envelope(testOnline, goodHeader, replace(t, good, from, to)), code)
	}
	payload("empty", good, ``, malformed)
	payload("null", good, `null`, malformed)
	payload("a list", good, `[]`, malformed)
	payload("not ended", good, good[:len(good)-1], malformed)
	payload("something behind it", good, good+`{}`, malformed)
	payload("unknown field", `{"v"`, `{"x":1,"v"`, malformed)
	payload("nonce twice", `"nonce"`, `"nonce":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","nonce"`, malformed)
	payload("nonce in another case beside it", `"nonce"`, `"NONCE":"00","nonce"`, malformed)
	payload("nonce in another case", `"nonce"`, `"Nonce"`, malformed)
	payload("no nonce", `"nonce":"0f1e2d3c4b5a69788796a5b4c3d2e1f0",`, ``, malformed)
	payload("nonce in capitals", `0f1e2d3c4b5a6978`, `0F1E2D3C4B5A6978`, malformed)
	payload("short nonce", `0f1e2d3c4b5a6978`, `0f1e2d3c`, malformed)
	payload("escape in a name", `"nonce"`, `"n\u006fnce"`, malformed)
	payload("escape in a value", `box-7`, `box\u002d7`, malformed)
	payload("not UTF-8", `box-7`, "box-\xff", malformed)
	payload("beyond ASCII", `box-7`, "bo×-7", malformed)
	payload("line feed", `{"v"`, "{\n\"v\"", malformed)
	payload("version 2", `"v":1`, `"v":2`, malformed)
	payload("version 1.0", `"v":1`, `"v":1.0`, malformed)
	payload("version a text", `"v":1`, `"v":"1"`, malformed)
	payload("purpose of a command", `"statement"`, `"command"`, malformed)
	payload("purpose of keys", `"statement"`, `"keys"`, malformed)
	payload("no agent", `"agent":"box-7",`, ``, malformed)
	payload("agent null", `"box-7"`, `null`, malformed)
	payload("another agent", `box-7`, `box-8`, "NOT_BOUND")
	payload("time without milliseconds", `09:30:00.125Z`, `09:30:00Z`, malformed)
	payload("time of another zone", `09:30:00.125Z`, `09:30:00.125+00:00`, malformed)
	payload("time of 1970", `2026-03-01`, `1970-01-01`, malformed)
	payload("a day there is not", `2026-03-01`, `2026-02-30`, malformed)
	payload("time a number", `"2026-03-01T09:30:00.125Z"`, `1772357400`, malformed)
	payload("keys empty", keys, ``, malformed)
	payload("keys an object", `"`+keys+`"`, `{}`, malformed)
	payload("entries null", good[strings.Index(good, `[{"entry"`):], `null}`, malformed)
	payload("entries an object", good[strings.Index(good, `[{"entry"`):], `{}}`, malformed)
	payload("entry null", good[strings.Index(good, `[{"entry"`):], `[null]}`, malformed)
	payload("entry of another kind", `"erase"`, `"open"`, malformed)
	payload("unknown field in an entry", `"role"`, `"x":1,"role"`, malformed)
	payload("field of the other kind", `"role"`, `"plan":"basic","role"`, malformed)
	payload("kind in another case", `"entry":"erase"`, `"Entry":"erase"`, malformed)
	payload("two kinds", `"entry":"erase"`, `"entry":"erase","ENTRY":"bind"`, malformed)
	payload("epoch 0", `"epoch":3`, `"epoch":0`, malformed)
	payload("epoch below 0", `"epoch":3`, `"epoch":-3`, malformed)
	payload("epoch with an exponent", `"epoch":3`, `"epoch":3e0`, malformed)
	payload("epoch beyond 32 bits", `"epoch":3`, `"epoch":4294967296`, malformed)
	payload("epoch twice", `"epoch":3`, `"epoch":3,"epoch":4`, malformed)
	payload("grant version beyond 53 bits", `"grant_version":9`, `"grant_version":9007199254740992`, malformed)
	payload("device empty", `"device":"AS1","order"`, `"device":"","order"`, malformed)
	payload("device with a space", `"device":"AS1","order"`, `"device":"A S1","order"`, malformed)
	payload("actor a path", `a_7Fq`, `a/7Fq`, malformed)
	payload("two entries of a kind for a device", `[{"entry":"erase"`,
		`[{"entry":"erase","device":"AS1","order":"01020300000000000000000000000001","epoch":2,"role":"owner"},{"entry":"erase"`, malformed)
	payload("too many entries", `[{"entry":"erase"`, `[`+strings.Repeat(`{},`, trust.MaxEntries)+`{"entry":"erase"`, malformed)
	payload("too many ended", `[{"actor"`, `[`+strings.Repeat(`{},`, trust.MaxEnded)+`{"actor"`, malformed)
	payload("deep", `[{"entry":"erase"`, `[`+strings.Repeat(`[`, 20000)+strings.Repeat(`]`, 20000)+`,{"entry":"erase"`, malformed)

	list := func(name, from, to, code string) {
		t.Helper()
		p := fmt.Sprintf(goodPayload, envelope(testRoot, keysHeader, replace(t, keysPayload, from, to)))
		refused(t, "keys: "+name, envelope(testOnline, goodHeader, p), code)
	}
	list("unknown field", `{"v"`, `{"x":1,"v"`, malformed)
	list("purpose of a statement", `"keys","version"`, `"statement","version"`, malformed)
	list("version 0", `"version":7`, `"version":0`, malformed)
	list("version twice", `"version":7`, `"version":7,"version":8`, malformed)
	list("no key", keysPayload[strings.Index(keysPayload, `[{"kid"`):], `[]}`, bad)
	list("key for another purpose", `["statement"]`, `["command","firmware"]`, bad)
	list("key for no purpose", `["statement"]`, `[]`, malformed)
	list("key for signing keys", `["statement"]`, `["statement","keys"]`, malformed)
	list("purpose twice", `["statement"]`, `["statement","statement"]`, malformed)
	list("purpose null", `["statement"]`, `["statement",null]`, malformed)
	list("short key", `NqiutxEkEtV`, `NqiutxE`, malformed)
	list("key in the other base64", `-Gs`, `+Gs`, malformed)
	list("key with padding", `aPo"`, `aPo="`, malformed)
	list("key with other last bits", `aPo"`, `aPp"`, malformed)
	list("root among the keys", `NqiutxEkEtVsxaihSuWa-GsMr3O4vJloYNtxIwc2aPo`, `kI4xVPh08XHoYyOlZ7tmoyg5yK68p3WUYYIESIkM_28`, malformed)
	list("one id for two keys", `[{"kid"`, `[{"kid":"online-1","key":"VlKcsT_qo-W471OpOsybwX5obMDhdqhyx3uP7txCU9s","purposes":["command"]},{"kid"`, malformed)
	list("two ids for one key", `[{"kid"`, `[{"kid":"online-2","key":"NqiutxEkEtVsxaihSuWa-GsMr3O4vJloYNtxIwc2aPo","purposes":["command"]},{"kid"`, malformed)
	list("too many keys", `[{"kid"`, `[`+strings.Repeat(`{},`, trust.MaxKeys)+`{"kid"`, malformed)

	withKeys := func(name, keys, code string) {
		t.Helper()
		refused(t, "keys: "+name, envelope(testOnline, goodHeader, fmt.Sprintf(goodPayload, keys)), code)
	}
	withKeys("signed by the online key", envelope(testOnline, keysHeader, keysPayload), bad)
	withKeys("signed by the online key as itself", envelope(testOnline, replace(t, keysHeader, "root", "online-1"), keysPayload), bad)
	withKeys("signed by the root as another", envelope(testRoot, replace(t, keysHeader, "root", "r00t"), keysPayload), bad)
	withKeys("of the type of a statement", envelope(testRoot, replace(t, keysHeader, "keys", "statement"), keysPayload), malformed)
	withKeys("too long", strings.Repeat("A", trust.MaxKeyList+1), malformed)

	refused(t, "signed by a key for another purpose", envelope(testOther, goodHeader, good), bad)
	refused(t, "signed by the root", envelope(testRoot, replace(t, goodHeader, "online-1", "root"), good), bad)
	whole := envelope(testOnline, goodHeader, good)
	for name, msg := range map[string]string{
		"empty": "", "a point": ".", "two points": "..", "four parts": whole + ".", "no signature": whole[:strings.LastIndexByte(whole, '.')+1],
		"JSON form": `{"payload":"","signatures":[]}`, "space before": " " + whole, "line feed behind": whole + "\n", "padding": whole + "==",
		"line feed inside": whole[:20] + "\n" + whole[20:], "too long": strings.Repeat("A", trust.MaxStatement+1), "other last bits": otherLastBits(whole),
		"half a signature": whole[:len(whole)-43], "a list of keys": keys,
	} {
		refused(t, name, msg, malformed)
	}
}

func replace(t *testing.T, s, from, to string) string {
	t.Helper()
	if !strings.Contains(s, from) {
		t.Fatalf("no %s in %s", from, s)
	}
	return strings.Replace(s, from, to, 1)
}

// otherLastBits changes the four bits of the last character that carry nothing: base64 that many readers take for the same.
func otherLastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(s) - 1
	return s[:last] + string(alphabet[strings.IndexByte(alphabet, s[last])^1])
}

// TestT02NoAlteredStatementIsAccepted is T-02: a broker that has everything but the keys.
func TestT02NoAlteredStatementIsAccepted(t *testing.T) {
	keys := mustKeys(t, testList(7))
	msg := mustSign(t, keys, testStatement())
	older := mustSign(t, mustKeys(t, testList(6)), testStatement())
	command, err := sign.Payload(testOnline, "online-1", trust.ForCommand, []byte(fmt.Sprintf(goodPayload, keys)))
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t)
	if _, err := v.Statement([]byte(msg), testSession); err != nil {
		t.Fatal(err)
	}
	random, codes := rand.New(rand.NewPCG(1, 2)), map[string]int{}
	for n := range 10000 {
		b := []byte(msg)
		switch n % 5 {
		case 0: // altered
			b[random.IntN(len(b))] ^= 1 << random.IntN(7)
		case 1: // cut
			b = b[:random.IntN(len(b))]
		case 2: // parts of two signed messages together
			i, a, o := n/5%4+2, strings.Split(msg, "."), strings.Split(older, ".")
			for p := range 3 {
				if i>>p&1 == 1 {
					a[p] = o[p]
				}
			}
			b = []byte(strings.Join(a, "."))
		case 3: // another purpose
			b = []byte(command)
		case 4: // signed by a key of the broker's own
			_, own, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			b = []byte(envelope(own, goodHeader, fmt.Sprintf(goodPayload, keys)))
		}
		s, err := v.Statement(b, testSession)
		if string(b) == msg {
			t.Fatalf("case %d is the message itself", n%5)
		}
		if err == nil {
			t.Fatalf("accepted: %s\n%+v", b, s)
		}
		codes[trust.Code(err)]++
	}
	if len(codes) != 2 || codes["MALFORMED"] == 0 || codes["BAD_SIGNATURE"] == 0 {
		t.Errorf("refused with %v, want MALFORMED and BAD_SIGNATURE alone", codes)
	}
}

// TestWeakKeysAreRefused makes signatures without a secret for each of the weak keys, as anyone can: the table is right, and
// no list may bring one of them.
func TestWeakKeysAreRefused(t *testing.T) {
	for _, weak := range trust.WeakKeys() {
		if !forgeable(weak) {
			t.Errorf("%x is not weak", weak)
		}
		list := testList(1)
		list.Keys[0].Key = weak
		refused(t, fmt.Sprintf("%x", weak), mustSign(t, mustKeys(t, list), testStatement()), "MALFORMED")
	}
}

// forgeable tries signatures whose S is 0 and whose R is the neutral point: they hold whenever the order of the key divides the
// hash of the message.
func forgeable(key ed25519.PublicKey) bool {
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = 1
	for n := range 200 {
		if ed25519.Verify(key, fmt.Append(nil, n), signature) {
			return true
		}
	}
	return false
}

func FuzzStatement(f *testing.F) {
	keys := mustKeys(f, testList(7))
	whole := mustSign(f, keys, testStatement())
	f.Add([]byte(whole), false)
	f.Add([]byte(fmt.Sprintf(goodPayload, keys)), true)
	f.Add([]byte(goodHeader), true)
	f.Fuzz(func(t *testing.T, b []byte, payload bool) {
		v := trust.New(testAgent, public(testRoot), &lists{})
		msg := string(b)
		if payload { // the signature is right, so that what reads the payload is reached
			msg = envelope(testOnline, goodHeader, msg)
		}
		s, err := v.Statement([]byte(msg), testSession)
		if err != nil {
			if trust.Code(err) == "" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if !payload && msg != whole {
			t.Fatalf("accepted what nobody signed: %q", msg)
		}
		// What was accepted says the same when it is written again, and only the fields' order and spaces may differ.
		again := mustSign(t, keys, *s)
		if !sameFields(again, msg) {
			t.Fatalf("accepted %q, read as %q", payloadOf(msg), payloadOf(again))
		}
	})
}

func payloadOf(jws string) []byte {
	b, _ := base64.RawURLEncoding.DecodeString(strings.Split(jws, ".")[1])
	return b
}

func sameFields(a, b string) bool {
	var x, y map[string]any
	if json.Unmarshal(payloadOf(a), &x) != nil || json.Unmarshal(payloadOf(b), &y) != nil {
		return false
	}
	x["keys"], y["keys"] = nil, nil // signed anew
	return fmt.Sprint(x) == fmt.Sprint(y)
}
