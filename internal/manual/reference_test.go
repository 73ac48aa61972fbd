package manual

import (
	"reflect"
	"strings"
	"testing"

	"upsedge/internal/config/strict"
)

type shape struct {
	Name *string          `yaml:"name"`
	Wait *strict.Duration `yaml:"wait"`
	Box  struct {
		List []string `yaml:"list"`
		Off  *int     `yaml:"off"`
	} `yaml:"box"`
	Many []struct {
		One *float64 `yaml:"one"`
	} `yaml:"many"`
}

const written = `# At the top of the file.

# Needed. Its name.
name: a
# How long
# it waits.
# Range: 10ms or more.
wait: 1s
# A box.
box:
  # Some.
  # Any of: a, b.
  list: []
  # How many | none.
  # Range: 1 to 3.
  #off: 2
# Several.
many:
  # The first.
  - one: 1.5
  - one: 2.5
`

func TestAReferenceFileBecomesADocument(t *testing.T) {
	r, err := ReadReference([]byte(written), reflect.TypeFor[shape]())
	if err != nil {
		t.Fatal(err)
	}
	text := r.Markdown()
	for _, want := range []string{
		"| `name` | text | needed |  | Its name. |", "| `wait` | duration | `1s` | 10ms or more | How long it waits. |", "## box\n\nA box.\n",
		"| `box.list` | list | `[]` | any of a, b | Some. |", `| ` + "`box.off`" + ` | whole number | not set | 1 to 3 | How many \| none. |`,
		"| `many[].one` | number | `1.5` |  | The first. |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if got := r.With("box.off", "4"); !strings.Contains(got, "\n  off: 4\n") {
		t.Errorf("with another value:\n%s", got)
	}
}

func TestAKeyWithoutAPlaceOrWordsIsNoticed(t *testing.T) {
	for cut, want := range map[string]string{"  # Some.\n  # Any of: a, b.\n": "box.list has no words", "  #off: 2\n": "box.off is missing"} {
		_, err := ReadReference([]byte(strings.Replace(written, cut, "", 1)), reflect.TypeFor[shape]())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestBoundsStandBesideARange(t *testing.T) {
	for _, c := range []struct {
		k       Key
		in, out string
	}{
		{Key{Type: "duration", Range: "100ms to 10m"}, "100ms 10m", "99ms 10m0.001s"},
		{Key{Type: "size", Range: "4MiB or more"}, "4MiB", "4194303"},
		{Key{Type: "list", Range: "any of a, b"}, "[a] [b]", "[nonsense]"},
		{Key{Type: "number", Range: "1 to 100"}, "1 100", "0.99 100.01"},
	} {
		in, out, err := c.k.Bounds()
		if err != nil || strings.Join(in, " ") != c.in || strings.Join(out, " ") != c.out {
			t.Errorf("%+v: %v, %v, %v", c.k, in, out, err)
		}
	}
}
