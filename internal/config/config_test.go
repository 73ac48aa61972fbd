package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/config/strict"
)

const (
	reference = "../../configs/agent.reference.yaml"
	minimal   = "../../configs/agent.minimal.yaml"
)

func TestReferenceFileShowsTheDefaults(t *testing.T) {
	ref, err := Load(reference)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := Parse("bare", []byte(`
units:
  - {name: rack-a, serial: {device: /dev/ttyUSB0}}
  - {name: rack-b, tcp: {address: 192.0.2.20}}
uplink: {broker: "tls://cloud.example"}
orders: {allow: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(bare, ref); d != "" {
		t.Errorf("the reference file and the defaults differ (-defaults +reference):\n%s", d)
	}
}

// Every key of the file's shape stands in the reference file, in use or in a comment.
func TestReferenceFileHasEveryKey(t *testing.T) {
	data, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range allKeys() {
		if !strings.Contains(string(data), key+":") {
			t.Errorf("key %s is not in %s", key, reference)
		}
	}
}

func TestMinimalFileWorks(t *testing.T) {
	cfg, err := Load(minimal)
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Units[0]
	if u.Serial.Baud != 9600 || u.UnitID != 1 || u.Poll[0] != 200*time.Millisecond {
		t.Errorf("unit = %+v, want the defaults of a serial line", u)
	}
}

func TestErrorsNameTheKeyTheLineAndTheReason(t *testing.T) {
	const unit = "units:\n  - name: a\n    tcp: {address: 192.0.2.1}\n"
	for _, c := range []struct{ name, file, want string }{
		{"unknown key", "units:\n  - name: a\n    serial: {device: /dev/x, bauds: 9600}\n", "f.yaml:3: units[0].serial.bauds: unknown key; known here: baud, device, parity"},
		{"unknown section", "metric: {}\n", "f.yaml:1: metric: unknown key"},
		{"rate below the least", unit + "    poll: {live: 5ms}\n", "f.yaml:4: units[0].poll.live: 5ms is below the least of 10ms"},
		{"rate without unit", unit + "    poll: {live: 500}\n", "units[0].poll.live: 500 has no unit: write 500ms, 500s or 500m"},
		{"rate not a duration", unit + "    poll: {live: fast}\n", `units[0].poll.live: "fast" is not a duration`},
		{"negative rate", unit + "    poll: {live: -1s}\n", "units[0].poll.live: -1s is negative"},
		{"size", "spool: {max_bytes: 1XB}\n", `f.yaml:1: spool.max_bytes: "1XB" is not a size`},
		{"size too small", "spool: {max_bytes: 1KiB}\n", "spool.max_bytes: 1024 bytes are below the least of 4MiB"},
		{"size is no number", "spool: {max_bytes: nan}\n", "nan is out of range"},
		{"less than a byte", "uplink: {broker: \"tls://c\", max_rate: 0.5}\n", "uplink.max_rate: 0.5 is out of range"},
		{"interval too long", "spool: {flush: 9999h}\n", "spool.flush: 9999h0m0s is above the most of 10m0s"},
		{"threshold is no number", unit + "    thresholds: {load: .nan}\n", "units[0].thresholds.load: NaN is not in 1 to 100"},
		{"nothing watched", unit + "    poll: {watch: 0, status: 0}\n", "units[0].poll: has both watch and status turned off"},
		{"name of dashes", "units: [{name: --, tcp: {address: h}}]\n", `units[0].name: "--" is not`},
		{"host", "units: [{name: a, tcp: {address: \"not a host!/x y\"}}]\n", "units[0].tcp.address: \"not a host!/x y\" is not an address"},
		{"no port of a unit", "units: [{name: a, tcp: {address: \"192.0.2.1:0\"}}]\n", "units[0].tcp.address: \"192.0.2.1:0\" is not an address"},
		{"no port of a broker", "uplink: {broker: \"tls://c:0\"}\n", "uplink.broker: \"c:0\" is not an address"},
		{"one port for two", "metrics: {listen: \"127.0.0.1:1\"}\nlocal: {listen: \"127.0.0.1:1\"}\n", "local.listen: 127.0.0.1:1 is metrics.listen, too"},
		{"one device, two spellings", "units: [{name: a, serial: {device: /dev/x}}, {name: b, serial: {device: /dev//x}}]\n", "units[1].unit_id: 1 is the address of units[0]"},
		{"no line", "units:\n  - name: a\n", "f.yaml:2: units[0]: has neither serial nor tcp"},
		{"two lines", unit + "    serial: {device: /dev/x}\n", "units[0]: has both serial and tcp"},
		{"name", "units: [{name: Rack A, tcp: {address: h}}]\n", `units[0].name: "Rack A" is not`},
		{"no name", "units: [{tcp: {address: h}}]\n", "units[0].name: is missing"},
		{"name twice", "units: [{name: a, tcp: {address: h}}, {name: a, tcp: {address: i}}]\n", `units[1].name: "a" is the name of units[0], too`},
		{"address twice", "units: [{name: a, tcp: {address: h}}, {name: b, tcp: {address: \"h:502\"}}]\n", "units[1].unit_id: 1 is the address of units[0]"},
		{"baud differs", "units: [{name: a, serial: {device: /d}}, {name: b, unit_id: 2, serial: {device: /d, baud: 19200}}]\n", "units[1].serial: has another baud rate or parity than units[0]"},
		{"unit id", unit + "    unit_id: 224\n", "units[0].unit_id: 224 is not in 1 to 223"},
		{"unit id behind a card", "units: [{name: a, tcp: {address: h, via: card}, unit_id: 248}]\n", "248 is not in 1 to 247"},
		{"baud", "units: [{name: a, serial: {device: /d, baud: 9601}}]\n", "units[0].serial.baud: 9601 is not one of"},
		{"bad type", "units: [{name: a, serial: {device: /d}, unit_id: one}]\n", `units[0].unit_id: "one" is not a whole number`},
		{"list wanted", "units: {name: a}\n", "units: is a block of keys, want a list"},
		{"plain tcp", "uplink: {broker: \"tcp://192.0.2.1:1883\", insecure: true}\n", "only to the box itself"},
		{"plain tcp not agreed to", "uplink: {broker: \"tcp://127.0.0.1:1883\"}\n", "only with insecure: true"},
		{"broker", "uplink: {broker: cloud.example}\n", `uplink.broker: "cloud.example" is not an address like`},
		{"broker with a password", "uplink: {broker: \"tls://me:secret@cloud.example\"}\n", "uplink.broker: has a name or password in it"},
		{"bracket left open", "units: [{name: a, tcp: {address: \"[::1\"}}]\n", `units[0].tcp.address: "[::1" is not an address like`},
		{"half a certificate", "uplink: {broker: \"tls://c\", tls: {cert_file: /c}}\n", "uplink.tls: has one of cert_file and key_file"},
		{"agent id", "uplink: {broker: \"tls://c\", agent_id: \"a/b\"}\n", `uplink.agent_id: "a/b" is not`},
		{"order group", "orders: {allow: [everything]}\n", `orders.allow[0]: "everything" is not one of diagnostics`},
		{"fed by no unit", unit + "orders: {fed_by: {unit: b, group: main}}\n", `orders.fed_by.unit: "b" is no unit of this file`},
		{"fed by no group", unit + "orders: {fed_by: {unit: a}}\n", `orders.fed_by.group: "" is not main, sog0, sog1 or sog2`},
		{"fed by two groups", unit + "orders: {fed_by: {unit: a, group: \"main,sog0\"}}\n", `orders.fed_by.group: "main,sog0" is not main`},
		{"hours", "orders: {hours: \"8-18\"}\n", `orders.hours: "8-18" is not like 08:00-18:00`},
		{"level", "log: {level: loud}\n", `log.level: "loud" is not debug, info, warn or error`},
		{"listen", "metrics: {listen: \"9811\"}\n", `metrics.listen: "9811" is not an address like`},
		{"twice", "log: {level: info}\nlog: {level: info}\n", "is there twice"},
		{"not yaml", "units: [\n", "f.yaml: line "},
		{"two documents", "log: {level: info}\n---\nlog: {level: info}\n", "more than one YAML document"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(c.file))
			if err == nil {
				t.Fatalf("accepted:\n%s", c.file)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %q\nwant it to hold %q", err, c.want)
			}
		})
	}
}

func TestAFileWithoutEndIsNotRead(t *testing.T) {
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("/dev/zero: %v", err)
	}
}

func TestAllErrorsAreReportedAtOnce(t *testing.T) {
	_, err := Parse("f.yaml", []byte("units: [{name: A, tcp: {address: h}, unit_id: 0, poll: {watch: 1ms}}]\n"))
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("error = %v, want three lines", err)
	}
}

func TestAppendedUnitsKeepCommentsAndAreRead(t *testing.T) {
	add := []Unit{
		{Name: "new-a", Serial: &Serial{"/dev/ttyUSB1", 9600, "none"}, UnitID: 1},
		{Name: "new-b", TCP: &TCP{"192.0.2.30:502", true}, UnitID: 2},
	}
	for _, c := range []struct{ name, before string }{
		{"no file", ""},
		{"only comments", "# site 12\n"},
		{"no units", "# site 12\nlog: {level: debug}\n"},
		{"empty list", "# site 12\nunits: []\n"},
		{"one unit", "# site 12\nunits:\n  # by the door\n  - name: old\n    serial: {device: /dev/ttyUSB0}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent.yaml")
			if c.before != "" {
				if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := AppendUnits(path, add); err != nil {
				t.Fatal(err)
			}
			cfg, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			got := cfg.Units[len(cfg.Units)-2:]
			if got[0].Name != "new-a" || got[1].TCP == nil || !got[1].TCP.Card || got[1].UnitID != 2 {
				t.Errorf("read back %+v", got)
			}
			data, _ := os.ReadFile(path)
			for _, line := range strings.Split(c.before, "\n") {
				if strings.Contains(line, "#") && !strings.Contains(string(data), strings.TrimSpace(line)) {
					t.Errorf("comment %q is gone:\n%s", line, data)
				}
			}
			if err := AppendUnits(path, add); err == nil {
				t.Error("the same units were appended twice")
			}
			if again, _ := os.ReadFile(path); string(again) != string(data) {
				t.Error("a refused append changed the file")
			}
		})
	}
}

func TestALinkedFileStaysALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(target, []byte("# here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := AppendUnits(link, []Unit{{Name: "a", TCP: &TCP{"192.0.2.1:502", false}, UnitID: 1}}); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link is %q, %v", to, err)
	}
	if cfg, err := Load(target); err != nil || len(cfg.Units) != 1 {
		t.Errorf("the file it points to: %v, %v", cfg, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{reference, minimal} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("units: &a [*a]"))
	f.Add([]byte("units: [{name: a, <<: {tcp: {address: h}}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v and error %v", cfg, err)
		}
	})
}

// allKeys returns the last part of every key there is.
func allKeys() []string {
	var out []string
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		out = append(out, strict.Keys(t)...)
		for i := range t.NumField() {
			visit(t.Field(i).Type)
		}
	}
	visit(reflect.TypeFor[fileConfig]())
	return out
}

// TestTheFirstProblemSaysWhereAndNothingElse: it goes into an event, which must not hold what stands in the file.
func TestTheFirstProblemSaysWhereAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"units:\n- {name: Rack, tcp: {address: \"192.0.2.7\"}}\n":      "line 2: units[0].name",
		"units: []\nuplink: {broker: \"tcp://secret.example:1883\"}\n": "line 2: uplink.broker",
		"units: [\n{}\n": "line 2: no YAML",
	} {
		_, err := Parse("agent.yaml", []byte(text))
		if err == nil {
			t.Fatalf("%q is taken", text)
		}
		if got := FirstProblem(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	for text, want := range map[string]string{
		"uplink.tls.cert_file: /etc/x: no such file": "uplink.tls.cert_file", "open 192.0.2.1: no": "the file cannot be read",
	} {
		if got := FirstProblem(errors.New(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
