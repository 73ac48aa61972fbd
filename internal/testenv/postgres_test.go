package testenv

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const clusterChild = "UPSEDGE_TESTENV_CLUSTER_CHILD"

// A test binary that is killed hard leaves neither its server nor the server's directory.
func TestAServerIsGoneWithItsTestBinary(t *testing.T) {
	if os.Getenv(clusterChild) != "" {
		_, _ = os.Stdout.WriteString("\ndir " + Postgres(t).dir + "\n")
		select {}
	}
	needPostgres(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAServerIsGoneWithItsTestBinary$")
	cmd.Env = append(os.Environ(), clusterChild+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		dir, _ = strings.CutPrefix(lines.Text(), "dir ")
		if dir == lines.Text() {
			dir = ""
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".s.PGSQL.5432")); dir == "" || err != nil {
		t.Fatalf("no server in %q: %v", dir, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return // a server that lives keeps writing there
		}
		if time.Now().After(end) {
			t.Fatalf("%s is there 20 s after the end of its test binary", dir)
		}
	}
}
