package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var enrolled = Uplink{Broker: "tls://cloud.example:8883", CAFile: "/s/ca.pem", CertFile: "/s/agent.pem", KeyFile: "/s/agent.pem"}

const ownUnits = "# of the cellar\nunits:\n  - name: a # the left one\n    tcp: {address: \"192.0.2.1:502\"}\n"

// TestSetUplinkKeepsWhatTheInstallerWrote: for each way to write the section, all other lines stay as they are, byte for byte.
func TestSetUplinkKeepsWhatTheInstallerWrote(t *testing.T) {
	for name, row := range map[string]struct{ before, after string }{
		"none": {ownUnits, ownUnits + `uplink:
  broker: "tls://cloud.example:8883"
  tls:
    ca_file: "/s/ca.pem"
    cert_file: "/s/agent.pem"
    key_file: "/s/agent.pem"
`},
		"a block": {
			"uplink:\n  # to the old one\n  broker: tls://old.example # until May\n  tls:\n    ca_file: ''  # theirs\n    cert_file: /x\n    key_file: \"/y\"\n  max_rate: 4000\n\n" + ownUnits,
			"uplink:\n  # to the old one\n  broker: \"tls://cloud.example:8883\" # until May\n  tls:\n    ca_file: \"/s/ca.pem\"  # theirs\n    cert_file: \"/s/agent.pem\"\n    key_file: \"/s/agent.pem\"\n  max_rate: 4000\n\n" + ownUnits,
		},
		"a stand-alone broker": {
			"uplink:\n  broker: tcp://localhost\n  insecure: true\n  agent_id: \"box\"\n" + ownUnits,
			"uplink:\n  tls: {ca_file: \"/s/ca.pem\", cert_file: \"/s/agent.pem\", key_file: \"/s/agent.pem\"}\n  broker: \"tls://cloud.example:8883\"\n  insecure: false\n  agent_id: \"\"\n" + ownUnits,
		},
		"in one line": {
			"uplink: {broker: \"tls://old.example\", addresses: none} # one\n" + ownUnits,
			"uplink: {tls: {ca_file: \"/s/ca.pem\", cert_file: \"/s/agent.pem\", key_file: \"/s/agent.pem\"}, broker: \"tls://cloud.example:8883\", addresses: none} # one\n" + ownUnits,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, eol := range []string{"\n", "\r\n"} {
				path := filepath.Join(t.TempDir(), "agent.yaml")
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(row.before, "\n", eol)), 0o640); err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second changes nothing
					if err := CheckSetUplink(path, enrolled); err != nil {
						t.Fatal(err)
					}
					if err := SetUplink(path, enrolled); err != nil {
						t.Fatal(err)
					}
					got, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(strings.ReplaceAll(row.after, "\n", eol), string(got)); diff != "" {
						t.Error(diff)
					}
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
					t.Errorf("files: %v", left)
				}
			}
		})
	}
}

// TestSetUplinkUnderstandsEveryWayToWriteYAML: the section may cost its form, never its meaning or that of another.
func TestSetUplinkUnderstandsEveryWayToWriteYAML(t *testing.T) {
	for name, before := range map[string]string{
		"null":             "uplink:\n" + ownUnits,
		"anchor":           "uplink:\n  broker: &b tls://old.example\n  tls: {cert_file: &c /x, key_file: *c}\n" + ownUnits,
		"folded":           "uplink:\n  broker: >-\n    tls://old.example\n  addresses: full\n" + ownUnits,
		"flow over lines":  "uplink: {\n  broker: \"tls://old.example\",\n  tls: {\n    ca_file: /x },\n  max_rate: 1KiB,\n}\n" + ownUnits,
		"quoted keys":      "\"uplink\":\n  \"broker\": 'tls://old.example'\n" + ownUnits,
		"no end of line":   strings.TrimSuffix(ownUnits, "\n"),
		"tls is null":      "uplink:\n  broker: tls://old.example\n  tls:\n" + ownUnits,
		"escapes":          "uplink:\n  broker: \"tls://old\\x2eexample\"\n" + ownUnits,
		"an indented file": "uplink:\n    broker: tls://old.example\n    tls:\n            key_file: /k\n            cert_file: /c\n" + ownUnits,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			was, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := SetUplink(path, enrolled); err != nil {
				t.Fatal(err)
			}
			is, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			want := enrolled
			want.Addresses = "tail"
			if was.Uplink != nil {
				want.Addresses, want.MaxRate = was.Uplink.Addresses, was.Uplink.MaxRate
			}
			if diff := cmp.Diff(&want, is.Uplink); diff != "" {
				t.Error(diff)
			}
			text, _ := os.ReadFile(path)
			if !strings.Contains(string(text), "# the left one") || !strings.Contains(string(text), "# of the cellar") {
				t.Errorf("comments are gone:\n%s", text)
			}
		})
	}
}

func TestSetUplinkWritesNothingIntoAFileWithMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	for _, text := range []string{"uplink: {broker: x}\n", "units: [", "unknown: 1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := SetUplink(path, enrolled); err == nil || !strings.Contains(err.Error(), "nothing was written") {
			t.Errorf("%q: %v", text, err)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	bad := enrolled
	bad.Broker = "https://cloud.example"
	if err := os.WriteFile(path, []byte(ownUnits), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckSetUplink(path, bad); err == nil {
		t.Error("a broker that is none was taken")
	}
}
