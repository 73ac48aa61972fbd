package testenv

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A Monitor is a Prometheus server on a loopback port, with a database of its own.
type Monitor struct {
	URL string // without a slash behind it

	log string
	t   testing.TB
}

// Prometheus starts a server with the configuration of that file and returns when it is ready; it is killed when the test ends. Skips like Command.
func Prometheus(t testing.TB, config string) *Monitor {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	m := &Monitor{URL: "http://" + addr, log: filepath.Join(dir, "log"), t: t}
	cmd := Command(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	done, err := Bound(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // fails only when it is gone already
		<-done
	})
	for deadline := time.Now().Add(acceptWithin); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get(m.URL + "/-/ready"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return m
			}
		}
		select {
		case <-done:
			t.Fatalf("prometheus exited:\n%s", m.Log())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("prometheus is not ready within %v:\n%s", acceptWithin, m.Log())
		}
	}
}

// Log returns what the server has complained of so far.
func (m *Monitor) Log() string {
	text, _ := os.ReadFile(m.log)
	return string(text)
}

// Ask sends a request of the HTTP API, "query_range", and decodes the data of its answer. An error is what the server says is wrong.
func (m *Monitor) Ask(path string, params url.Values, data any) error {
	r, err := http.Get(m.URL + "/api/v1/" + path + "?" + params.Encode())
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}
