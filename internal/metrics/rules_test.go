package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"upsedge/internal/testenv"
)

// shipped is where rules, dashboard and examples for the operator lie.
const shipped = "../../configs/prometheus/"

// A rule is one of the recording or alerting rules that are shipped.
type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name, Interval string
			Rules          []rule
		}
	}
	parse(t, "upsedge.rules.yml", &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func parse(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(shipped + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func caseFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(shipped + "*.test.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of cases, %v", len(files), err)
	}
	return files
}

// TestRulesFireWhenTheyShouldAndElseKeepQuiet is Prometheus' own tool with the cases beside the rules.
func TestRulesFireWhenTheyShouldAndElseKeepQuiet(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", shipped + "upsedge.rules.yml"}, append([]string{"test", "rules"}, caseFiles(t)...)} {
		out, err := testenv.Command(t, "promtool", args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args[:2], " "), err, out)
		}
	}
}

var (
	ofOneAlert = regexp.MustCompile(`^ALERTS\{alertname="(\w+)",alertstate="firing"\}$`)
	firing     = regexp.MustCompile(`^\{alertname="(\w+)"\}$`)
)

// TestEveryAlertHasCasesOfBothKinds: one in which it fires, and one in which it does not.
func TestEveryAlertHasCasesOfBothKinds(t *testing.T) {
	fires, quiet := map[string]int{}, map[string]int{}
	for _, name := range caseFiles(t) {
		var file struct {
			Tests []struct {
				Name    string
				Queries []struct {
					Expr    string
					Samples []struct{ Labels string } `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		parse(t, filepath.Base(name), &file)
		for _, c := range file.Tests {
			for _, q := range c.Queries {
				m := ofOneAlert.FindStringSubmatch(q.Expr)
				switch {
				case m != nil && len(q.Samples) == 0:
					quiet[m[1]]++
				case m != nil || q.Expr != `count by (alertname) (ALERTS{alertstate="firing"})` || len(q.Samples) == 0:
					t.Errorf("%s: %s: what does %s show?", name, c.Name, q.Expr)
				}
				for _, s := range q.Samples {
					if m := firing.FindStringSubmatch(s.Labels); m != nil {
						fires[m[1]]++
					}
				}
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && (fires[r.Alert] == 0 || quiet[r.Alert] == 0) {
			t.Errorf("%s fires in %d cases and keeps quiet in %d", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

// TestEveryAlertSaysWhatToDo, and has its section in the page that its annotation names.
func TestEveryAlertSaysWhatToDo(t *testing.T) {
	page, err := os.ReadFile("../../docs/prometheus.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		names = append(names, r.Alert)
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		for _, a := range []string{"summary", "description"} {
			if len(r.Annotations[a]) < 20 {
				t.Errorf("%s has the %s %q", r.Alert, a, r.Annotations[a])
			}
		}
		if got, want := r.Annotations["runbook"], "docs/prometheus.md#"+strings.ToLower(r.Alert); got != want {
			t.Errorf("the runbook of %s is %s, want %s", r.Alert, got, want)
		}
		if n := strings.Count(string(page), "\n### "+r.Alert+"\n"); n != 1 {
			t.Errorf("the page has %d sections %s", n, r.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (UPS\w+)$`).FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("the page has a section of %s, which is no alert", m[1])
		}
	}
	if len(names) < 30 {
		t.Errorf("only %d alerts found", len(names))
	}
}

// TestAlarmsWithAnAlertOfTheirOwnAreNotToldTwice: what the two alerts for all other alarms leave out is what the others name.
func TestAlarmsWithAnAlertOfTheirOwnAreNotToldTwice(t *testing.T) {
	var left []string
	own := map[string]bool{"103": true, "118": true, "119": true, "215": true, "801": true, "804": true, "805": true} // told by alerts on states and counters
	for _, r := range rules(t) {
		if m := regexp.MustCompile(`alarm!~"([0-9|]+)"`).FindStringSubmatch(r.Expr); m != nil {
			left = append(left, m[1])
			continue
		}
		for _, m := range regexp.MustCompile(`alarm=~?"([0-9|]+)"`).FindAllStringSubmatch(r.Expr, -1) {
			for id := range strings.SplitSeq(m[1], "|") {
				own[id] = own[id] || r.Alert != ""
			}
		}
	}
	if len(left) != 2 || left[0] != left[1] {
		t.Fatalf("left out: %q", left)
	}
	for id := range strings.SplitSeq(left[0], "|") {
		if !own[id] {
			t.Errorf("alarm %s is left out, and no alert is about it", id)
		}
		delete(own, id)
	}
	for id := range own {
		t.Errorf("alarm %s has an alert, and is told by another, too", id)
	}
}

// TestAlertmanagerKnowsTheAlerts: a name in an inhibition that no alert has would silence nothing.
func TestAlertmanagerKnowsTheAlerts(t *testing.T) {
	var file struct {
		Inhibit []struct {
			Source []string `yaml:"source_matchers"`
			Target []string `yaml:"target_matchers"`
			Equal  []string
		} `yaml:"inhibit_rules"`
	}
	parse(t, "alertmanager.yml", &file)
	known := map[string]bool{}
	for _, r := range rules(t) {
		known[r.Alert] = r.Alert != ""
	}
	n := 0
	for _, i := range file.Inhibit {
		for _, m := range append(i.Source, i.Target...) {
			for _, name := range regexp.MustCompile(`UPS\w+`).FindAllString(m, -1) {
				if n++; !known[name] {
					t.Errorf("%s is no alert", name)
				}
			}
		}
		if len(i.Equal) == 0 {
			t.Errorf("%v silences the whole fleet's %v", i.Source, i.Target)
		}
	}
	if n < 10 {
		t.Errorf("only %d names found", n)
	}
}
