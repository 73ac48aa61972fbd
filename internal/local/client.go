package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"upsedge/internal/ups"
)

// socketHost stands for the socket in requests; no name is looked up.
const socketHost = "agent"

// ErrNotRunning says that nobody answers on the socket.
var ErrNotRunning = errors.New("the agent is not running")

// Ask asks the agent that listens on socket for its status, with the values of all points if wanted. It returns ErrNotRunning
// when there is none.
func Ask(ctx context.Context, socket string, values bool) (*Status, error) {
	path := "/v1/status"
	if values {
		path += "?values"
	}
	var st Status
	return &st, get(ctx, socket, path, &st)
}

// AskLayouts asks the agent for the layouts of the samples it has stored in this run. It fails as Ask does.
func AskLayouts(ctx context.Context, socket string) ([]*ups.Layout, error) {
	var ls []layout
	err := get(ctx, socket, "/v1/layouts", &ls)
	return layoutsOf(ls), err
}

func get(ctx context.Context, socket, path string, into any) error {
	resp, err := request(ctx, quick(), socket, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := answered(resp); err != nil {
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	return nil
}

// answered is an error for an answer that is none.
func answered(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the agent: it answered %s", resp.Status)
	}
	return nil
}

// quick is for what is answered at once.
func quick() *http.Client { return &http.Client{Timeout: 10 * time.Second} }

// request sends a request over the socket.
func request(ctx context.Context, client *http.Client, socket, method, path string, body io.Reader) (*http.Response, error) {
	client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+socketHost+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no right to ask the agent on %s: run as root or as a member of the group upsagent", socket)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	return resp, nil
}
