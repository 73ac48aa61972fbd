package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// files unpacks a bundle.
func files(t testing.TB, data []byte) (names []string, all map[string]string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, all[h.Name] = append(names, h.Name), string(b)
	}
}

func facts() *Facts {
	box, left := ThisBox("/")
	return &Facts{
		Build: ThisBuild("1.2.3", time.Time{}, time.Now()), Box: box, Left: left,
		Units:   []Unit{{Name: "rack-a", Serial: "AS1", Failure: "dial tcp 192.0.2.20:502: refused"}},
		Metrics: func(w io.Writer) error { _, err := io.WriteString(w, "ups_up{ups=\"rack-a\"} 1\n"); return err },
		Log:     []Line{{At: time.Unix(1, 0), Text: "INFO agent started"}},
	}
}

func TestABundleHasItsFilesAndNoOthers(t *testing.T) {
	b, err := Make(facts(), &Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	names, all := files(t, b.Data)
	var want []string
	for _, c := range Contents {
		want = append(want, c.File)
	}
	if !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if strings.Contains(all[fileUnits], "192.0.2.20") || !strings.Contains(all[fileUnits], noAddress) {
		t.Errorf("an address is told: %s", all[fileUnits])
	}
	table, err := ReadTable(b.Data)
	if err != nil || len(table.Files) != len(want)-1 {
		t.Errorf("ReadTable = %v, %v", table, err)
	}
}

// T-67: whatever form a secret has, with one there is no bundle.
func TestT67NoBundleIsMadeWithASecretInIt(t *testing.T) {
	for form, text := range map[string]string{
		"as it is": "hunter22!<x", "in JSON": `hunter22!<x`, "hexadecimal": fmt.Sprintf("%x", "hunter22!<x"), "base64": "aHVudGVyMjIhPHg",
	} {
		f, s := facts(), &Secrets{}
		s.Text("the password of the card", "hunter22!<x")
		f.Units[0].Model = text
		var found *SecretError
		if _, err := Make(f, s); !errors.As(err, &found) || found.File != fileUnits || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", form, err)
		}
	}
	f, s := facts(), &Secrets{}
	s.Text("a short one", "pin7")
	f.Units[0].Model = "spin77"
	if _, err := Make(f, s); err != nil {
		t.Errorf("a short secret inside of a word: %v", err)
	}
	f.Units[0].Model = "the pin7."
	if _, err := Make(f, s); err == nil {
		t.Error("a short secret alone was told")
	}
}
