package serve

import (
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"upsedge/internal/manual"
)

var update = flag.Bool("update", false, "write docs/cloud-configuration.md")

// TestEveryKeyStandsInTheDocument: with the words of the reference file, which has all of them, and ranges that the parser holds to.
func TestEveryKeyStandsInTheDocument(t *testing.T) {
	data, err := os.ReadFile("../../../configs/cloud.reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := manual.ReadReference(data, reflect.TypeFor[file]())
	if err != nil {
		t.Fatal(err)
	}
	manual.Keep(t, "../../../docs/cloud-configuration.md", r.Markdown(), *update)
	for _, k := range r.Keys {
		if k.Path == "mail.tls" {
			continue // only where there is a server
		}
		in, out, err := k.Bounds()
		if err != nil {
			t.Error(err)
		}
		for _, v := range in {
			if _, err := Parse("f", []byte(r.With(k.Path, v))); err != nil {
				t.Errorf("%s: %s: %v", k.Path, v, err)
			}
		}
		for _, v := range out {
			if _, err := Parse("f", []byte(r.With(k.Path, v))); err == nil || !strings.Contains(err.Error(), k.Path) {
				t.Errorf("%s: %s is taken: %v", k.Path, v, err)
			}
		}
	}
}

// TestSamplesInTheDocumentsAreTaken: of whole files and of parts of one.
func TestSamplesInTheDocumentsAreTaken(t *testing.T) {
	for name, text := range manual.Documents(t, "../../..") {
		blocks, _ := manual.Blocks(name, text)
		for _, b := range blocks {
			if _, err := Parse(b.String(), []byte(b.Text)); b.Is == "cloud" && err != nil {
				t.Error(err)
			}
		}
	}
}
