package manual

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/testenv"
)

const root = "../.."

// runners are who runs blocks of commands, and where.
var runners = map[string]string{
	"demo":      "internal/demo: the story of README, with everything in it",
	"site":      "internal/demo: the built agent on a machine of its own, simulated units, a stand-in for the service manager",
	"cloud":     "internal/demo: the built upscloud with an agent, on machines of their own",
	"postgres":  "internal/demo: the same with a PostgreSQL server, without an agent",
	"api":       "internal/cloud/api: requests, sent to the interface",
	"sim":       "internal/demo: upssim, until it answers",
	"broker":    "internal/demo: an agent with a broker, mosquitto, and nothing else",
	"make":      "this test: the Makefile has the target",
	"newcomers": "cmd/agent: each really happens, and every word is compared",
	"guest":     "make test-guest: a Debian with systemd in QEMU",
}

// readers are who reads blocks of data.
var readers = map[string]string{
	"agent":      "internal/config: a configuration of the agent, or a part of one",
	"cloud":      "internal/cloud/serve: one of the cloud, or a part of one",
	"prometheus": "promtool: a configuration of Prometheus, or a part of one",
	"rules":      "promtool: rules, with their group or without",
	"one object": "this test: one object of JSON",
	"objects":    "this test: objects of JSON, one behind the other",
}

// TestEveryBlockHasARunner: of commands somebody runs them, or it is said why nobody can; of data it is said who reads it. Nothing is written as
// code that has no language.
func TestEveryBlockHasARunner(t *testing.T) {
	count := map[string]int{}
	for name, text := range Documents(t, root) {
		blocks, complaints := Blocks(name, text)
		for _, b := range blocks {
			complaints = append(complaints, b.complaints()...)
			count[b.Language+" "+b.Run+b.Is+strings.Repeat("shown", min(len(b.Shown), 1))]++
		}
		for _, complaint := range complaints {
			t.Error(complaint)
		}
	}
	t.Logf("%v", count)
}

func (b Block) complaints() (out []string) {
	say := func(words string) { out = append(out, b.String()+": "+words) }
	switch b.Language {
	case "":
		say("a block without a language")
	case "sh", "console":
		switch {
		case b.Run == "" && len(strings.Fields(b.Shown)) < 3:
			say("commands that nobody runs, and no reason for it")
		case b.Run != "" && runners[b.Run] == "":
			say("there is no runner " + b.Run)
		}
	case "yaml", "json":
		if readers[b.Is] == "" && b.file() == "" {
			say("data without a word who reads it")
		}
	case "text", "sql", "ini":
	default:
		say("no language that these documents have: " + b.Language)
	}
	return out
}

// file is the file of the tree that a block shows: one of those that tests hold a program to.
func (b Block) file() string {
	if strings.Contains(b.Is, "/testdata/") || strings.HasPrefix(b.Is, "configs/") {
		return filepath.Join(root, b.Is)
	}
	return ""
}

func TestABlockWithoutARunnerIsNoticed(t *testing.T) {
	text := "a\n```sh\nls\n```\n<!-- run: nobody -->\n```sh\nls\n```\n<!-- shown: why not -->\n```console\n# ls\n```\n```\nx\n```\n\n    ls\n```yaml\na: b\n```\n"
	blocks, complaints := Blocks("f", text)
	for _, b := range blocks {
		complaints = append(complaints, b.complaints()...)
	}
	want := []string{
		"f:17: code by indentation: put it between fences, with its language", "f:3: commands that nobody runs, and no reason for it", "f:7: there is no runner nobody",
		"f:11: commands that nobody runs, and no reason for it", "f:14: a block without a language", "f:19: data without a word who reads it",
	}
	if !slices.Equal(complaints, want) {
		t.Errorf("%q\nwant %q", complaints, want)
	}
}

// TestTargetsOfMakeAreThere: of every make in the documents.
func TestTargetsOfMakeAreThere(t *testing.T) {
	makefile, err := os.ReadFile(root + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	commands := Commands(t, root, "make")
	for _, c := range commands {
		for _, word := range c.Args {
			if !strings.Contains(word, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(word)+`:`).Match(makefile) {
				t.Errorf("%s: make %s", c.Where, word)
			}
		}
	}
	if len(commands) < 8 {
		t.Errorf("only %d commands", len(commands))
	}
}

func TestWordsOfAScript(t *testing.T) {
	script := "A=1 sudo up one 'two three' \"four $(down five)\" --six=\"7\" # eight\nup 2>&1 >/dev/null | left; right && x=$(inner a)\ncat <<'END' >f\nnothing up here\nEND\nup a \\\n  b\n"
	var got []string
	for _, words := range Words(script) {
		got = append(got, strings.Join(words, "|"))
	}
	want := []string{"A=1|sudo|up|one|two three|four $()|--six=7", "up", "left", "right", "x=$()", "cat", "up|a|b", "down|five", "inner|a"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestSamplesOfJSONAreJSON: one object, or several one behind the other. Ids that were shortened are strings all the same.
func TestSamplesOfJSONAreJSON(t *testing.T) {
	for name, text := range Documents(t, root) {
		blocks, _ := Blocks(name, text)
		for _, b := range blocks {
			if b.Language != "json" {
				continue
			}
			if b.file() != "" {
				b.same(t)
			}
			n, d := 0, json.NewDecoder(strings.NewReader(b.Text))
			for {
				var one map[string]any
				err := d.Decode(&one)
				if errors.Is(err, io.EOF) {
					break
				}
				if n++; err != nil {
					t.Errorf("%v: %v", b, err)
					break
				}
			}
			if b.Is == "one object" && n != 1 || n == 0 {
				t.Errorf("%v: %d objects", b, n)
			}
		}
	}
}

// same compares a block with its file, line breaks apart.
func (b Block) same(t *testing.T) {
	data, err := os.ReadFile(b.file())
	if err != nil {
		t.Error(err)
		return
	}
	var shown, is bytes.Buffer
	if err := errors.Join(json.Compact(&shown, []byte(b.Text)), json.Compact(&is, data)); err != nil || shown.String() != is.String() {
		t.Errorf("%v is not %s: %v\n%s\n%s", b, b.Is, err, shown.String(), is.String())
	}
}

// TestSamplesOfShippedFilesAreThose: word for word.
func TestSamplesOfShippedFilesAreThose(t *testing.T) {
	n := 0
	for name, text := range Documents(t, root) {
		blocks, _ := Blocks(name, text)
		for _, b := range blocks {
			if b.Language != "yaml" || b.file() == "" {
				continue
			}
			n++
			data, err := os.ReadFile(b.file())
			if err != nil || strings.TrimSpace(b.Text) != strings.TrimSpace(string(data)) {
				t.Errorf("%v is not %s (%v)", b, b.Is, err)
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d samples", n)
	}
}

// TestSamplesForPrometheusAreTaken by promtool: configurations, and rules.
func TestSamplesForPrometheusAreTaken(t *testing.T) {
	testenv.Command(t, "promtool")
	check := map[string][]string{"prometheus": {"check", "config"}, "rules": {"check", "rules"}}
	n := 0
	for name, text := range Documents(t, root) {
		blocks, _ := Blocks(name, text)
		for _, b := range blocks {
			args := check[b.Is]
			if args == nil {
				continue
			}
			content := b.Text
			if strings.HasPrefix(content, "- ") { // rules without their group
				content = "groups:\n- name: shown\n  rules:\n" + regexp.MustCompile("(?m)^").ReplaceAllString(content, "  ")
			}
			file := filepath.Join(t.TempDir(), "sample.yml")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := testenv.Command(t, "promtool", append(args, file)...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", b, err, out)
			}
			n++
		}
	}
	if n < 2 {
		t.Errorf("only %d samples", n)
	}
}

// TestEveryPageSaysForWhomItIs, in its first words: who opens the wrong one at night sees that at once.
func TestEveryPageSaysForWhomItIs(t *testing.T) {
	for name, text := range Documents(t, root) {
		_, body, _ := strings.Cut(text, "\n\n")
		if name != "README.md" && !strings.HasPrefix(body, "For ") {
			t.Errorf("%s begins with %.60q", name, body)
		}
	}
}

// TestEveryPageIsReachedFromTheREADME: by a link of its own.
func TestEveryPageIsReachedFromTheREADME(t *testing.T) {
	docs := Documents(t, root)
	for name := range docs {
		if name != "README.md" && !strings.Contains(docs["README.md"], "]("+name) {
			t.Errorf("README.md has no link to %s", name)
		}
	}
}

func TestWhatAPageShowsAndIsNotPrintedIsNoticed(t *testing.T) {
	for shown, missing := range map[string]string{
		"# command\none is …\n…\nhere\nthree …": "", "three 3\none is here": "one is there", "four": "four", "one is": "one is",
	} {
		names := strings.NewReplacer("here", "there").Replace
		if got := (Block{Text: shown}).Missing(names, "one  is there\nthere\nthree 3\n"); got != missing {
			t.Errorf("%q: %q is missing, want %q", shown, got, missing)
		}
	}
}
