package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Of every command the help fits a terminal, names each of its flags and has an example that the command takes.
func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	names := []string{""}
	for _, cmd := range newCommandLine(stdio{}).root.Commands() {
		names = append(names, cmd.Name())
	}
	if len(names) < 11 {
		t.Fatalf("only %q", names)
	}
	for _, name := range names {
		var out strings.Builder
		l := newCommandLine(stdio{out: &out, err: &out})
		cmd, _, err := l.root.Find([]string{name})
		if err != nil || name != "" && cmd.Name() != name {
			t.Fatalf("%s: %v, %v", name, cmd, err)
		}
		if err := l.run(t.Context(), slices.DeleteFunc([]string{name, "--help"}, func(s string) bool { return s == "" })); err != nil {
			t.Errorf("%s --help: %v", name, err)
		}
		for line := range strings.Lines(out.String()) {
			if utf8.RuneCountInString(line) > helpWidth+1 {
				t.Errorf("%s --help: wider than %d: %s", name, helpWidth, line)
			}
		}
		if name != "" && !cmd.HasExample() {
			t.Errorf("%s: no example", name)
		}
		for line := range strings.Lines(cmd.Example) {
			_, words, _ := strings.Cut(line, "upsagent ")
			words, _, _ = strings.Cut(words, "<")
			args, err := joined(cmd, strings.Fields(words)[1:])
			if err == nil {
				err = cmd.ParseFlags(args)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: its example %q: %v", name, line, err)
			}
		}
	}
}

// A value is joined to its flag, and a flag is never taken for the value of the one before it.
func TestAFlagIsNoValueOfAnother(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"doctor --bundle f --config g", "doctor --bundle=f --config=g"},
		{"--config g doctor --bundle f", "--config=g doctor --bundle=f"},
		{"doctor --bundle --config g", ""},
		{"doctor --bundle", ""},
		{"doctor --bundle=--config", "doctor --bundle=--config"},
		{"enroll --token - --force", "enroll --token=- --force"},
		{"enroll --token --force", ""},
		{"probe --unit-id -1", ""},
		{"probe --serial", "probe --serial=" + everyPort},
		{"probe --serial --serial a --json", "probe --serial=" + everyPort + " --serial=a --json"},
		{"probe --serial -", "probe --serial=" + everyPort + " -"},
		{"probe --json --serial -- a", "probe --json --serial=" + everyPort + " -- a"},
		{"order a b -- --config g", "order a b -- --config g"},
	} {
		args := strings.Fields(c.args)
		cmd, _, err := newCommandLine(stdio{}).root.Find(args)
		if err != nil {
			t.Fatal(err)
		}
		got, err := joined(cmd, args)
		if strings.Join(got, " ") != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v, want %q", c.args, got, err, c.want)
		}
	}
}
