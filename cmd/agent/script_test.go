package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// TestScripts runs testdata/*.txtar against the built program. Beside testscript's own commands there are
//
//	exit CODE PROGRAM ARG...   runs a program to its end and checks its exit code; stdout and stderr can be looked at behind it
//	serial NAME [SLAVE]        a simulated unit on the pseudo terminal $WORK/NAME; TTY holds its path
//	tcp [NUMBER]               a simulated unit, with this serial number, on a TCP port; TCP holds its address
//	ready N                    waits until the agent of $CONFIG runs and has read N units
//	until PROGRAM ARG...       runs a program again and again until it succeeds
//
// CONFIG is agent.yaml in the work directory; its state and socket belong there.
func TestScripts(t *testing.T) {
	t.Parallel()
	program := testenv.Build(t, "./cmd/agent")
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "upsagent")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
			env.Vars = append(env.Vars, hasty)
			env.Setenv("CONFIG", filepath.Join(env.WorkDir, "agent.yaml"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": scriptExit, "serial": scriptSerial, "tcp": scriptTCP, "ready": scriptReady, "until": scriptUntil,
		},
	})
}

func scriptExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (&exec.ExitError{}); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Logf("[exit code %d]\n[stdout]\n%s[stderr]\n%s", got, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// still is a unit whose registers do not change, so that scripts can name values. It has the first of numbers as its serial
// number, if there is one.
func still(numbers ...string) *upssim.Unit {
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	return upssim.New(upssim.Options{Serial: append(numbers, "AS2130000001")[0], Name: "Rack A", Now: func() time.Time { return noon }})
}

// scriptTB stands for the script where a testing.TB is wanted: its cleanups are the script's.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()                   {}
func (s scriptTB) Cleanup(f func())          { s.ts.Defer(f) }
func (s scriptTB) Fatal(a ...any)            { s.ts.Fatalf("%s", fmt.Sprint(a...)) }
func (s scriptTB) Fatalf(f string, a ...any) { s.ts.Fatalf(f, a...) }
func (s scriptTB) Errorf(f string, a ...any) { s.ts.Logf(f, a...) } // in a cleanup, where a script can no longer fail

func scriptSerial(ts *testscript.TestScript, _ bool, args []string) {
	slave := 1
	if len(args) > 1 {
		slave, _ = strconv.Atoi(args[1])
	}
	path := ts.MkAbs(args[0])
	plug(scriptTB{ts: ts}, path, map[uint8]*upssim.Unit{uint8(slave): still()})
	ts.Setenv("TTY", path)
}

func scriptTCP(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("TCP", listen(scriptTB{ts: ts}, one(still(args...))))
}

// scriptReady asks the running agent again and again until it has read so many units and knows that they are on line: who a
// unit is comes first.
func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready UNITS")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec("upsagent", "--config", ts.Getenv("CONFIG"), "status")
		if out := ts.ReadFile("stdout"); err == nil && strings.Count(out, " s ago") == want && strings.Count(out, " online ") == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the agent has not read every unit within %v", patience)
		}
	}
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until PROGRAM ARG...")
	}
	for deadline := time.Now().Add(patience); ts.Exec(args[0], args[1:]...) != nil; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			ts.Fatalf("it has not succeeded within %v", patience)
		}
	}
}
