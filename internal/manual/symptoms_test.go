package manual

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the system says, and not we.
var systemWords = []string{"no such file or directory", "dial tcp", "connect", "connection refused", "read", "connection reset by peer", "i/o timeout", "no such host", "permission denied", "certificate has expired or is not yet valid"}

var put = regexp.MustCompile(`…|: | \(|/dev/\S*[^\s:]|\b192\.[0-9.:]*[0-9]|\bgap=.*|\bexpected=.*|\bg_\b`)

// TestWordsOfTheSymptomsAreThoseOfThePrograms: what a table of symptoms.md says is printed stands in the source, but for what is put in.
func TestWordsOfTheSymptomsAreThoseOfThePrograms(t *testing.T) {
	source := readSources(t)
	inTable, words := false, 0
	for _, line := range strings.Split(Documents(t, root)["docs/symptoms.md"], "\n") {
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		first := strings.TrimSpace(strings.Split(strings.ReplaceAll(line, `\|`, ""), "|")[1])
		if first == "it says" || first == "the log says" {
			inTable = true
		}
		if !inTable {
			continue
		}
		for _, m := range spanForm.FindAllStringSubmatch(first, -1) {
			for _, part := range put.Split(m[1], -1) {
				part = strings.TrimSpace(strings.Trim(part, "`: "))
				if len(part) < 3 || strings.HasPrefix(m[1], "upsagent_") || strings.Contains(m[1], "result=") || part == `"frame"` {
					continue
				}
				if words++; !strings.Contains(source+strings.Join(systemWords, "\n"), part) {
					t.Errorf("nothing prints %q (%s)", part, m[1])
				}
			}
		}
	}
	if words < 20 {
		t.Errorf("only %d words of the programs found", words)
	}
}

// readSources returns the source of the agent's programs, what is put into words being %s there.
func readSources(t *testing.T) string {
	var all strings.Builder
	for _, dir := range []string{"cmd/agent", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return err
			}
			text, err := os.ReadFile(p)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

var metricForm = regexp.MustCompile(`\b(?:ups|upsagent|upscloud)_[a-z_]+[a-z]\b`)

// TestMetricsInTheDocumentsAreThere: those of the agent stand in the table that is made from them, those of the cloud in its source.
func TestMetricsInTheDocumentsAreThere(t *testing.T) {
	docs, named := Documents(t, root), 0
	_, series, _ := strings.Cut(docs["docs/integrate.md"], "<!-- the series")
	series, _, _ = strings.Cut(series, "<!-- end of the series -->")
	known := series + readSources(t)
	rules, err := os.ReadFile(root + "/configs/prometheus/upsedge.rules.yml") // what is recorded has names, too
	if err != nil {
		t.Fatal(err)
	}
	known += string(rules)
	for name, text := range docs {
		for _, metric := range metricForm.FindAllString(text, -1) {
			for _, end := range []string{"_bucket", "_count", "_sum"} { // of histograms
				metric = strings.TrimSuffix(metric, end)
			}
			if named++; !strings.Contains(known, metric) {
				t.Errorf("%s: there is no metric %s", name, metric)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d metrics found", named)
	}
}
