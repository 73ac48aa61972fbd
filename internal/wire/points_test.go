package wire

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"testing"

	"upsedge/internal/ups"
)

// TestPointsOfTheFormatAreThoseOfTheCatalogue keeps POINTS.md, which is all that another program knows of points. It is
// written with "go test ./internal/wire -update"; a row that was shipped must not change.
func TestPointsOfTheFormatAreThoseOfTheCatalogue(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Points\n\nNumbers of FORMAT.md, section 6. A number never changes its meaning. Texts are never in a block.\n\n")
	b.WriteString("| point | name | unit | kind | |\n| --- | --- | --- | --- | --- |\n")
	for _, p := range ups.Points() {
		i := p.Info()
		fmt.Fprintf(&b, "| %d | %s | %s | %v | %s |\n", p, i.Name, i.Unit, i.Kind, cmp.Or(i.Help, i.Name))
	}
	b.WriteString("\n## Bits and values\n\nBit 0 is the least significant one. What is not listed is reserved and keeps its number.\n\n| point | |\n| --- | --- |\n")
	for _, p := range ups.Points() {
		if names := ups.Names(p); names != nil {
			fmt.Fprintf(&b, "| %d %v | %s |\n", p, p, nameList(names))
		}
	}
	if *update {
		if err := os.WriteFile("POINTS.md", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("POINTS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, b.Bytes()) {
		t.Error("POINTS.md is not what the catalogue says; if a point was added: go test ./internal/wire -update")
	}
}

func nameList(names []ups.BitName) string {
	var b bytes.Buffer
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", n.Number, n.Name)
	}
	return b.String()
}
