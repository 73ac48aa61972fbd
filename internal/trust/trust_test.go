package trust_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

var update = flag.Bool("update", false, "write testdata anew; a shipped version must not change")

// Keys of tests, and of nothing else: whoever reads this file has them. Ed25519 signatures are the same each time.
var (
	testRoot   = testKey("root")
	testOnline = testKey("online-1")
	testOther  = testKey("firmware-1")
)

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("upsedge test key, not a secret: " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

const testAgent = "box-7"

var (
	testNonce   = wire.ID{0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0}
	testSession = announced(testNonce, 1500*time.Millisecond)
	testTime    = time.Date(2026, 3, 1, 9, 30, 0, 125e6, time.UTC)
)

func announced(id wire.ID, age time.Duration) trust.Announced {
	return func(nonce wire.ID) (time.Duration, bool) { return age, nonce == id }
}

func testList(version uint64) trust.Keys {
	return trust.Keys{Version: version, Keys: []trust.Key{
		{Kid: "online-1", Key: public(testOnline), Purposes: []string{trust.ForStatement, trust.ForCommand}},
		{Kid: "firmware-1", Key: public(testOther), Purposes: []string{trust.ForFirmware}},
	}}
}

func testStatement() trust.Statement {
	return trust.Statement{Time: testTime, Entries: []trust.Entry{
		{Device: "AS1234567890", Erase: &trust.Erase{Order: wire.ID{1, 2, 3}, Epoch: 3, Role: "owner"}},
		{Device: "AS1234567890", Bind: &trust.Bind{
			Epoch: 4, Plan: "advanced", ValidUntil: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), GrantVersion: 9,
			Ended: []trust.Ended{{Actor: "a_7Fq", GrantVersion: 8}},
		}},
	}}
}

func mustKeys(t testing.TB, list trust.Keys) string {
	t.Helper()
	text, err := sign.Keys(testRoot, list)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustSign(t testing.TB, keys string, s trust.Statement) string {
	t.Helper()
	msg, err := sign.Statement(testOnline, "online-1", keys, testAgent, testNonce, s)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func newVerifier(t testing.TB) *trust.Verifier {
	return trust.New(testAgent, public(testRoot), trust.InState(t.TempDir()))
}

// TestGoldenStatement holds the format: the bytes in testdata are accepted and say this.
func TestGoldenStatement(t *testing.T) {
	list := testList(7)
	keys := mustKeys(t, list)
	msg := mustSign(t, keys, testStatement())
	golden(t, "keys.jws", keys)
	msg = golden(t, "statement.jws", msg)
	root := golden(t, "cloud_root", rootLine(t))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cloud_root"), []byte(root+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pinned, err := trust.LoadRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := trust.New(testAgent, pinned, trust.InState(dir)).Statement([]byte(msg), testSession)
	if err != nil {
		t.Fatal(err)
	}
	want := testStatement()
	want.Keys, want.Age = &list, 1500*time.Millisecond
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("-signed +verified:\n%s", d)
	}
}

func rootLine(t *testing.T) string {
	dir := t.TempDir()
	if err := trust.SaveRoot(dir, public(testRoot)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "cloud_root"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// golden compares a line with a file and returns what the file has.
func golden(t *testing.T, name, got string) string {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got+"\n"); d != "" {
		t.Errorf("%s (-file +got):\n%s", path, d)
	}
	return strings.TrimSuffix(string(want), "\n")
}

func TestEDGE5AStatementHoldsForOneAgentOneSessionAndAWhile(t *testing.T) {
	msg := []byte(mustSign(t, mustKeys(t, testList(1)), testStatement()))
	for _, row := range []struct {
		name    string
		agent   string
		session trust.Announced
		code    string
	}{
		{"as it is meant", testAgent, testSession, ""},
		{"at the last moment", testAgent, announced(testNonce, trust.MaxAge), ""},
		{"another agent", "box-8", testSession, "NOT_BOUND"},
		{"another session", testAgent, announced(wire.ID{1}, time.Second), "EXPIRED"},
		{"too late", testAgent, announced(testNonce, trust.MaxAge+1), "EXPIRED"},
		{"before the nonce", testAgent, announced(testNonce, -1), "EXPIRED"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := trust.New(row.agent, public(testRoot), trust.InState(t.TempDir()))
			_, err := v.Statement(msg, row.session)
			if trust.Code(err) != row.code || (row.code == "") != (err == nil) {
				t.Errorf("Statement: %v, want %q", err, row.code)
			}
		})
	}
}

func TestT10AnOlderListOfKeysIsRefusedOverRestarts(t *testing.T) {
	dir := t.TempDir()
	sign := func(version uint64) []byte {
		return []byte(mustSign(t, mustKeys(t, testList(version)), testStatement()))
	}
	for _, row := range []struct {
		version uint64
		code    string
	}{{3, ""}, {3, ""}, {2, "BAD_SIGNATURE"}, {5, ""}, {4, "BAD_SIGNATURE"}, {5, ""}} {
		v := trust.New(testAgent, public(testRoot), trust.InState(dir)) // as after a restart
		if _, err := v.Statement(sign(row.version), testSession); trust.Code(err) != row.code || (row.code == "") != (err == nil) {
			t.Errorf("list %d: %v, want %q", row.version, err, row.code)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "cloud_keys"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("cloud_keys: %v, %v; want mode 0600", info, err)
	}
}

// lists is a disk that fails.
type lists struct {
	list string
	load error
	save error
}

func (l *lists) Load() (string, error) { return l.list, l.load }

func (l *lists) Save(list string) error {
	if l.save == nil {
		l.list = list
	}
	return l.save
}

func TestNothingIsAcceptedThatCouldBeForgotten(t *testing.T) {
	broken := errors.New("input/output error")
	msg := []byte(mustSign(t, mustKeys(t, testList(2)), testStatement()))
	disk := &lists{save: broken}
	v := trust.New(testAgent, public(testRoot), disk)
	if _, err := v.Statement(msg, testSession); !errors.Is(err, broken) {
		t.Errorf("list not on disk: %v, want %v", err, broken)
	}
	disk.save = nil
	if _, err := v.Statement(msg, testSession); err != nil || disk.list != mustKeys(t, testList(2)) {
		t.Errorf("with the disk back: %v, list %q", err, disk.list)
	}
	if _, err := trust.New(testAgent, public(testRoot), &lists{load: broken}).Statement(msg, testSession); !errors.Is(err, broken) {
		t.Errorf("list unreadable: %v, want %v", err, broken)
	}
}

func TestListFileTellsAFlippedBit(t *testing.T) {
	dir := t.TempDir()
	f := trust.InState(dir)
	msg := []byte(mustSign(t, mustKeys(t, testList(2)), testStatement()))
	if _, err := trust.New(testAgent, public(testRoot), f).Statement(msg, testSession); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(string(f))
	if err != nil {
		t.Fatal(err)
	}
	step := 7 // one bit of each byte, and of eight in a row each another
	if os.Getenv("UPSEDGE_SOAK") != "" {
		step = 1
	}
	for bit := 0; bit < len(whole)*8-8; bit += step { // the line's end may be anything but a line's end
		b := append([]byte(nil), whole...)
		b[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(string(f), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := trust.New(testAgent, public(testRoot), f).Statement(msg, testSession); err == nil || trust.Code(err) != "" {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

func TestRootFileIsReadStrictly(t *testing.T) {
	if _, err := trust.LoadRoot(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a root: %v, want fs.ErrNotExist", err)
	}
	good := rootLine(t)
	for _, text := range []string{
		"", good[:len(good)-1], good + "A", good + "=", strings.ToUpper(good), " " + good, good + " ", good + "\nmore\n", good + "\r\n",
		"ed25519 " + strings.Repeat("A", 43), "ed25519  " + good[8:], good[:20] + " " + good[20:], good[:50] + "\n" + good[50:], strings.Repeat("x", 500),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cloud_root"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := trust.LoadRoot(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %x, %v; want an error that says so", text, key, err)
		}
	}
}

// What is no file is not waited for: an agent that reads a pipe could not even be stopped.
func TestARootThatIsNoFileIsAnError(t *testing.T) {
	for what, mk := range map[string]func(path string) error{
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		if err := mk(filepath.Join(dir, "cloud_root")); err != nil {
			t.Fatal(err)
		}
		if _, err := trust.LoadRoot(dir); err == nil || errors.Is(err, fs.ErrNotExist) || !trust.Enrolled(dir) {
			t.Errorf("%s: %v; want an error that says so, and that the agent is enrolled", what, err)
		}
	}
}
