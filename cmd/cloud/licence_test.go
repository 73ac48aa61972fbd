package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// upscloud runs a command and returns its results and what it did not do: the exit code of main.
func upscloud(t *testing.T, config string, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), append([]string{"--config", config}, args...), strings.NewReader(""), &stdout, &stderr)
	if usage := (usageError{}); errors.As(err, &usage) {
		return stdout.String(), 2
	}
	if err != nil {
		return stdout.String(), 1
	}
	return stdout.String(), 0
}

var lineOfACode = regexp.MustCompile(`^(?:[2-9A-HJ-NP-Z]{4}-){5}[2-9A-HJ-NP-Z]{4}\tl_[0-9a-z]{26}\tadvanced\t365 days\t2 uses$`)

// TestLOG10CodesArePrintedOnceAndNeverAgain by the commands of the operator.
func TestLOG10CodesArePrintedOnceAndNeverAgain(t *testing.T) {
	config := filepath.Join(t.TempDir(), "cloud.yaml")
	if err := os.WriteFile(config, []byte("data_dir: "+filepath.Join(t.TempDir(), "data")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := upscloud(t, config, "init"); code != 0 {
		t.Fatalf("init: %d", code)
	}
	out, code := upscloud(t, config, "licence", "issue", "--plan", "advanced", "--days", "365", "--count", "2", "--uses", "2", "--note", "order 7", "--expires", "2190-01-01")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 2 || slices.ContainsFunc(lines, func(l string) bool { return !lineOfACode.MatchString(l) }) {
		t.Fatalf("%d, %q", code, lines)
	}
	secret, id, _ := strings.Cut(lines[0], "\t")
	id, _, _ = strings.Cut(id, "\t")
	table, _ := upscloud(t, config, "licence", "list")
	text, _ := upscloud(t, config, "licence", "list", "--json")
	number := strings.ReplaceAll(secret, "-", "")[:8]
	for _, list := range []string{table, text} {
		if !strings.Contains(list, id) || !strings.Contains(list, number) || !strings.Contains(list, "order 7") || strings.Contains(strings.ReplaceAll(list, "-", ""), strings.ReplaceAll(secret, "-", "")[8:]) {
			t.Errorf("%s", list)
		}
	}
	if out, code := upscloud(t, config, "licence", "revoke", secret[:9]); code != 0 || !strings.Contains(out, id) {
		t.Errorf("%d, %q", code, out)
	}
	text, _ = upscloud(t, config, "licence", "list", "--json")
	var first struct {
		Revoked *string `json:"revoked_at"`
		Expires *string `json:"expires_at"`
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, id) {
			if err := json.Unmarshal([]byte(line), &first); err != nil || first.Revoked == nil || first.Expires == nil {
				t.Errorf("%s, %v", line, err)
			}
		}
	}
}

func TestExitCodesOfLicencesAndPlans(t *testing.T) {
	config := filepath.Join(t.TempDir(), "cloud.yaml")
	if err := os.WriteFile(config, []byte("data_dir: "+filepath.Join(t.TempDir(), "data")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := upscloud(t, config, "init"); code != 0 {
		t.Fatalf("init: %d", code)
	}
	for line, want := range map[string]int{
		"licence list": 0, "licence revoke l_none": 1, "plan set AS1 basic": 1, "licence issue --plan gold --days 1": 2, "licence issue --plan standard": 2,
		"licence issue --plan standard --days 0": 2, "licence issue --plan standard --days 1 --count 0": 2, "licence issue --plan standard --days 1 --expires 2001-01-01": 2,
		"licence issue --plan standard --days 1 --expires soon": 2, "plan set AS1 gold": 2, "plan set AS1 standard --until soon": 2, "plan set AS1 basic --until 2190-01-01": 2,
	} {
		if out, code := upscloud(t, config, strings.Fields(line)...); code != want {
			t.Errorf("%s: %d, want %d; %s", line, code, want, out)
		}
	}
}
