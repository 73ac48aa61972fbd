package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// socketHost stands for the socket in requests; no name is looked up.
const socketHost = "agent"

// ErrNotRunning says that nobody answers on the socket.
var ErrNotRunning = errors.New("the agent is not running")

// Ask asks the agent that listens on socket for its status, with the values of all points if wanted. It returns ErrNotRunning
// when there is none.
func Ask(ctx context.Context, socket string, values bool) (*Status, error) {
	client := http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
	url := "http://" + socketHost + "/v1/status"
	if values {
		url += "?values"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no right to ask the agent on %s: run as root or as a member of the group upsagent", socket)
	case err != nil:
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the agent: it answered %s", resp.Status)
	}
	var st Status
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	return &st, nil
}
