package manual

import (
	"flag"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/json.md")

// shapes are what is printed or answered, with the struct that it is made of.
var shapes = []struct{ title, what, name string }{
	{"check", "a list, one object for each line", "cmd/agent.lineReport"},
	{"probe", "a list of units found, possibly `[]` with exit code 1", "cmd/agent.found"},
	{"read", "one object for each reading, one to a line", "cmd/agent.reading"},
	{"status", "one object; the same from `/v1/status`, where `?values` adds the values of all points", "internal/local.Status"},
	{"order", "one object for each state that the order takes, one to a line, the final one last; the same from `POST /v1/orders`", "internal/local.OrderStep"},
	{"setup", "one object", "cmd/agent.setupReport"},
	{"doctor", "a list of findings", "internal/doctor.Finding"},
	{"POST /v1/orders", "what is asked for, on the socket", "internal/local.OrderRequest"},
}

// TestTheDocumentOfTheJSONHasEveryKey, with the words beside its field.
func TestTheDocumentOfTheJSONHasEveryKey(t *testing.T) {
	s := ReadSource(t, root, "cmd/agent", "internal/local", "internal/doctor")
	var b strings.Builder
	for _, shape := range shapes {
		table, err := s.Shape(shape.name)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n## " + shape.title + "\n\n" + shape.what + "\n\n" + table)
	}
	Keep(t, root+"/docs/json.md", b.String(), *update)
}
