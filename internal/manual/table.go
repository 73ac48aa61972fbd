package manual

import (
	"fmt"
	"strings"
)

// Markdown is the keys as a document: those at the top, then each block.
func (r *Reference) Markdown() string {
	var top, rest strings.Builder
	for _, k := range r.Keys {
		first, _, below := strings.Cut(strings.ReplaceAll(k.Path, "[]", ""), ".")
		switch {
		case !below && k.Default != "":
			row(&top, k)
		case !below:
			fmt.Fprintf(&rest, "\n## %s\n\n%s\n\n%s", first, cell(k.Text), head)
		default:
			row(&rest, k)
		}
	}
	return "\n## At the top\n\n" + head + top.String() + rest.String()
}

const head = "| key | type | default | allowed | what it is, and why |\n| --- | --- | --- | --- | --- |\n"

func row(b *strings.Builder, k Key) {
	def := ""
	switch k.Default {
	case "", notSet, needed:
		def = k.Default
	default:
		def = "`" + k.Default + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", k.Path, k.Type, cell(def), cell(k.Range), cell(k.Text))
}

// cell is text that a cell of a table may have.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s) }
