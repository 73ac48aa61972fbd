package config

import (
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"upsedge/internal/manual"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

const keysDocument = "../../docs/configuration.md"

func readReference(t *testing.T) *manual.Reference {
	t.Helper()
	data, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	r, err := manual.ReadReference(data, reflect.TypeFor[fileConfig]())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryKeyStandsInTheDocument: with the words of the reference file, which has all of them.
func TestEveryKeyStandsInTheDocument(t *testing.T) {
	manual.Keep(t, keysDocument, readReference(t).Markdown(), *update)
}

// TestRangesAreWhatTheParserTakes: of every key whose words name a range, what stands at its ends and what stands beside them.
func TestRangesAreWhatTheParserTakes(t *testing.T) {
	r, ranges := readReference(t), 0
	for _, k := range r.Keys {
		in, out, err := k.Bounds()
		if err != nil {
			t.Error(err)
		}
		if len(in) > 0 {
			ranges++
		}
		for _, v := range in {
			if _, err := Parse("f", []byte(r.With(k.Path, v))); err != nil {
				t.Errorf("%s: %s: %v", k.Path, v, err)
			}
		}
		for _, v := range out {
			last := k.Path[strings.LastIndex(k.Path, ".")+1:]
			if _, err := Parse("f", []byte(r.With(k.Path, v))); err == nil || !strings.Contains(err.Error(), last) {
				t.Errorf("%s: %s is taken: %v", k.Path, v, err)
			}
		}
	}
	if ranges < 15 {
		t.Errorf("only %d ranges", ranges)
	}
}

// TestSamplesInTheDocumentsAreTaken: of whole files and of parts of one, which may name the unit of another.
func TestSamplesInTheDocumentsAreTaken(t *testing.T) {
	n := 0
	for name, text := range manual.Documents(t, "../..") {
		blocks, _ := manual.Blocks(name, text)
		for _, b := range blocks {
			if b.Is != "agent" {
				continue
			}
			n++
			if !strings.Contains("\n"+b.Text, "\nunits:") {
				b.Text += "units: [{name: rack-a, serial: {device: /dev/ttyUSB0}}]\n"
			}
			if _, err := Parse(b.String(), []byte(b.Text)); err != nil {
				t.Error(err)
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d samples", n)
	}
}
