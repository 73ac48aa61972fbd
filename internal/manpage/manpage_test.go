package manpage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var sample = Program{
	Name: "thing", Section: 8, Short: "does it", Long: "A thing.\n\n  .shown as it stands\n\nEnd.", Usage: "<command>",
	Flags: []Flag{{Name: "config", Value: "FILE", Help: "Configuration.", Def: "/etc/thing"}, {Name: "help", Short: "h", Help: "Help."}},
	Commands: []Command{
		{Path: []string{"run"}, Usage: "thing run", Short: "Run it.", Flags: []Flag{{Name: "fast", Help: "Don't wait."}}},
		{Path: []string{"key", "rotate"}, Usage: "thing key rotate <root>", Short: "New key."},
		{Path: []string{"key", "list"}, Usage: "thing key list", Short: "All keys.", Flags: []Flag{{Name: "json", Help: "JSON."}}},
	},
}

// TestBashCompletesCommandsAndFlags asks a real bash.
func TestBashCompletesCommandsAndFlags(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not here")
	}
	file := filepath.Join(t.TempDir(), "thing")
	if err := os.WriteFile(file, []byte(sample.Bash()), 0o600); err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{
		"thing ":                 "run key --config --help",
		"thing r":                "run",
		"thing run --":           "--fast --config --help",
		"thing key ":             "rotate list --config --help",
		"thing key l":            "list",
		"thing key list --j":     "--json",
		"thing --config ":        "", // a file
		"thing --config x run -": "--fast --config --help",
		"thing run k":            "",
	} {
		words := strings.Split(typed, " ")
		script := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _thing; echo "${COMPREPLY[*]}"`
		out, err := exec.Command(bash, append([]string{"-c", script, "bash", file}, words...)...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: bash offers %q (%v), want %q", typed, got, err, want)
		}
	}
}

func TestAPageShowsAndNeverObeys(t *testing.T) {
	page := sample.Page()
	for _, want := range []string{".TH THING 8 \"\" upsedge\n", ".nf\n  .shown as it stands\n.fi\n", "\\fB\\-\\-config\\fR=\\fIFILE\\fR\nConfiguration. Default: /etc/thing.\n", ".SS thing key rotate <root>\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if got := line(`.so /etc/passwd`) + line(`'x`) + line(`a\fB-`); got != `\&.so /etc/passwd\&'xa\efB\-` {
		t.Errorf("escaped: %s", got)
	}
}
