package guest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// errGone is the end of the one inside who answers.
var errGone = errors.New("the machine answers no more")

// An agent is qemu-guest-agent inside the machine: JSON, a request and a reply a line (QEMU, "Guest Agent Protocol Reference").
type agent struct {
	conn  net.Conn
	lines *bufio.Reader
}

// dialAgent waits until somebody inside answers.
func dialAgent(path string, deadline time.Time, done <-chan struct{}) (*agent, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	a := &agent{conn: conn, lines: bufio.NewReader(conn)}
	for time.Now().Before(deadline) {
		select {
		case <-done:
			conn.Close()
			return nil, errors.New("it ended")
		default:
		}
		if a.sync() {
			_ = conn.SetDeadline(time.Time{})
			return a, nil
		}
	}
	conn.Close()
	return nil, errors.New("nobody answers")
}

// sync asks for a number and reads until it comes: replies to whatever was asked before are passed over.
func (a *agent) sync() bool {
	id := rand.Int64N(1 << 40)
	_ = a.conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintf(a.conn, `{"execute":"guest-sync","arguments":{"id":%d}}`+"\n", id); err != nil {
		return false
	}
	for {
		line, err := a.lines.ReadBytes('\n')
		if err != nil {
			return false
		}
		var reply struct{ Return json.RawMessage }
		if json.Unmarshal(line, &reply) == nil && string(reply.Return) == fmt.Sprint(id) {
			return true
		}
	}
}

func (a *agent) close() { _ = a.conn.Close() }

// call asks and waits for the reply.
func (a *agent) call(what string, arguments, into any) error {
	request, err := json.Marshal(map[string]any{"execute": what, "arguments": arguments})
	if err != nil {
		return err
	}
	_ = a.conn.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err := a.conn.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	line, err := a.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	reply := struct {
		Return any
		Error  *struct{ Desc string }
	}{Return: into}
	if err := json.Unmarshal(line, &reply); err != nil {
		return fmt.Errorf("%s: %w: %.200s", what, err, line)
	}
	if reply.Error != nil {
		return fmt.Errorf("%s: %s", what, reply.Error.Desc)
	}
	return nil
}

func (a *agent) exec(script string) (pid int, err error) {
	var begun struct{ PID int }
	err = a.call("guest-exec", map[string]any{
		"path": "/bin/sh", "arg": []string{"-c", script}, "capture-output": true,
		"env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"},
	}, &begun)
	return begun.PID, err
}

// start runs a script of whose end nobody will tell.
func (a *agent) start(script string) error {
	_, err := a.exec(script)
	return err
}

func (a *agent) run(script string) (Result, error) {
	pid, err := a.exec(script)
	if err != nil {
		return Result{}, err
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		var s struct {
			Exited   bool
			ExitCode int
			Signal   int
			OutData  []byte `json:"out-data"`
			ErrData  []byte `json:"err-data"`
		}
		if err := a.call("guest-exec-status", map[string]any{"pid": pid}, &s); err != nil {
			return Result{}, err
		}
		if s.Exited {
			if s.Signal != 0 {
				s.ExitCode = 128 + s.Signal
			}
			return Result{string(s.OutData), string(s.ErrData), s.ExitCode}, nil
		}
		time.Sleep(wait)
	}
}

const chunk = 512 << 10 // bytes of a file in one request

func (a *agent) put(content []byte, path string) error {
	var handle int
	if err := a.call("guest-file-open", map[string]any{"path": path, "mode": "w"}, &handle); err != nil {
		return err
	}
	for len(content) > 0 {
		part := content[:min(chunk, len(content))]
		var written struct{ Count int }
		err := a.call("guest-file-write", map[string]any{"handle": handle, "buf-b64": base64.StdEncoding.EncodeToString(part)}, &written)
		if err != nil {
			return err
		}
		content = content[written.Count:]
	}
	return a.call("guest-file-close", map[string]any{"handle": handle}, nil)
}

func (a *agent) get(path string) (content []byte, err error) {
	var handle int
	if err := a.call("guest-file-open", map[string]any{"path": path, "mode": "r"}, &handle); err != nil {
		return nil, err
	}
	for {
		var part struct {
			Buf []byte `json:"buf-b64"`
			EOF bool
		}
		if err := a.call("guest-file-read", map[string]any{"handle": handle, "count": chunk}, &part); err != nil {
			return nil, err
		}
		content = append(content, part.Buf...)
		if part.EOF {
			return content, a.call("guest-file-close", map[string]any{"handle": handle}, nil)
		}
	}
}
