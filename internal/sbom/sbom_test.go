package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/testenv"
)

var update = flag.Bool("update", false, "write packaging/modules.txt anew, after a look at what is new")

// TestT48TheBillIsTheModulesOfTheProgram: what the bill names is what `go version -m` finds in the program, no more and no less.
func TestT48TheBillIsTheModulesOfTheProgram(t *testing.T) {
	program := testenv.Build(t, "./cmd/upssim")
	out, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "dep" {
			want = append(want, strings.Join(f[1:], " "))
		}
	}
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if err := run("upssim", "1.2.3", program, w); err != nil {
			t.Fatal(err)
		}
	}
	var b bill
	if err := json.Unmarshal(first.Bytes(), &b); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatalf("two bills of one program differ, or %v", err)
	}
	var got []string
	for _, c := range b.Components[1:] {
		got = append(got, c.Name+" "+c.Version+" "+c.Properties[0].Value)
	}
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("the bill has\n%q\nthe program\n%q", got, want)
	}
	if std := b.Components[0]; std.Name != "std" || !strings.HasPrefix(std.Version, "1.") {
		t.Errorf("the first component is %s %s, want Go's own library", std.Name, std.Version)
	}
}

// TestT48NoModuleIsUnknown: who brings a module into a program that is packed, or another version of one, says so in packaging/modules.txt.
func TestT48NoModuleIsUnknown(t *testing.T) {
	const list = "../../packaging/modules.txt"
	var all []string
	for program, tags := range map[string]string{"agent": "nethttpomithttp2", "cloud": "", "upssim": ""} {
		for _, arch := range []string{"amd64", "arm64", "arm"} {
			cmd := exec.Command("go", "list", "-deps", "-tags", tags, "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "../../cmd/"+program)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOARM=7")
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimSpace(line); line != "" {
					all = append(all, program+" "+line)
				}
			}
		}
	}
	slices.Sort(all)
	got := strings.Join(slices.Compact(all), "\n") + "\n"
	if *update {
		if err := os.WriteFile(list, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		if !strings.Contains(string(want), line) {
			t.Errorf("unknown module in a program: %s", line)
		}
	}
	for line := range strings.Lines(string(want)) {
		if !strings.Contains(got, line) {
			t.Errorf("packaging/modules.txt names what no program has: %s", line)
		}
	}
}
