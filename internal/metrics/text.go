package metrics

import (
	"bufio"
	"math"
	"strconv"
	"strings"
)

// A family is the series of one name. It is written, not built: with a thousand units two families alone have a quarter of a
// million series, and whoever holds them all at once needs more memory than everything else in the agent.
type family struct {
	name, help string
	kind       string // gauge, counter, histogram
	write      func(*text)
}

// A text writes families in the text format of Prometheus, version 0.0.4. The first error of what it writes to stays: see
// bufio.Writer.
type text struct {
	*bufio.Writer
	family *family
	begun  bool // the family has its header
}

// add writes a family. One without series is left out.
func (t *text) add(f *family) {
	t.family, t.begun = f, false
	f.write(t)
}

// sample writes one series of the family: suffix comes behind its name, labels is what labelsOf or a join of several returned.
func (t *text) sample(suffix, labels, more string, v float64) {
	t.header()
	b := t.AvailableBuffer()
	b = append(append(b, t.family.name...), suffix...)
	if labels != "" || more != "" {
		b = append(b, '{')
		b = append(append(b, labels...), more...)
		b = append(b, '}')
	}
	b = append(appendValue(append(b, ' '), v), '\n')
	_, _ = t.Write(b)
}

func (t *text) header() {
	if t.begun {
		return
	}
	t.begun = true
	for _, s := range []string{"# HELP ", t.family.name, " ", helpText.Replace(t.family.help), "\n# TYPE ", t.family.name, " ", t.family.kind, "\n"} {
		_, _ = t.WriteString(s)
	}
}

func appendValue(b []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1e6 {
		return strconv.AppendInt(b, int64(v), 10) // as nearly always, and shorter to find; -0 is 0 to Prometheus
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

var (
	helpText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// label returns name="value", escaped. What is not UTF-8, as a text out of a unit's registers may not be, would spoil the scrape.
func label(name, value string) string {
	return name + `="` + labelText.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}
