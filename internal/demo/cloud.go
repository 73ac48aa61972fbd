package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// newCloud writes the configuration of the cloud, has it make its keys, and returns the file.
func newCloud(ctx context.Context, o options, smtp string) (string, error) {
	file := filepath.Join(o.dir, "cloud.yaml")
	text := fmt.Sprintf(`data_dir: %s
name: localhost
https: {listen: "%s:%s"}
mqtt: {listen: "%s:%s"}
metrics: {listen: "%s"}
orders: {load_10m: 30, load_day: 100}
mail: {server: "%s", tls: none, from: "upsedge demo <demo@localhost>"}
`, filepath.Join(o.dir, "cloud"), o.host, o.https, o.host, o.mqtt, o.cloudMetrics, smtp)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, o.cloud, "--config", file, "init").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("upscloud init: %w: %s", err, out)
	}
	return file, nil
}

// greet says what there is once the cloud is ready.
func greet(ctx context.Context, o options) error {
	for !ready(ctx, "http://"+o.cloudMetrics+"/readyz") {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	rel := func(path string) string {
		if wd, err := os.Getwd(); err == nil {
			if r, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(r, "..") {
				return r
			}
		}
		return path
	}
	dir := rel(o.dir)
	fmt.Printf(`
A control plane, and a simulated site that belongs to nobody yet: rack-a on a serial line at 9600 baud, rack-b and rack-c on TCP.
The mains of all three fail %v from now.

  cloud          https://localhost:%s/api/v1/openapi.json   (curl --cacert %s/cloud/ca.pem)
  its metrics    http://%s/metrics
  mail           %s/mail/<address>.txt is the last one to an address
  agent metrics  http://%s/metrics
  status page    http://%s/

The lines of README, section "Try it", in another terminal: sign up, enrol, register, read, test, reboot, look at the log.
Without the cloud:
  %s --config %s/agent.yaml status
  %s --config %s/agent.yaml read rack-a

Ctrl-C stops everything and deletes it.

`, o.failures, o.https, dir, o.cloudMetrics, dir, o.metrics, o.page, rel(o.agent), dir, rel(o.agent), dir)
	return nil
}

func ready(ctx context.Context, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
