package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/mailsink"
	"upsedge/internal/ups/upssim"
)

// A rightsSite is upscloud on SQLite and upsagent, both as processes, units on TCP, and two people with an account each.
type rightsSite struct {
	program, config string
	devices         []rightsDevice
	ann, bob        *person
	letters         *mailsink.Sink
	read            int // letters to bob that were looked at
	processes       []*process
	cancel          context.CancelFunc
	group           *errgroup.Group
}

type rightsDevice struct{ id, serial string }

func (b *bench) newRightsSite(ctx context.Context) (s *rightsSite, err error) {
	dir := filepath.Join(b.dir, "rights")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s = &rightsSite{program: b.cloud, config: filepath.Join(dir, "cloud.yaml"), letters: &mailsink.Sink{}}
	running, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	s.group, running = errgroup.WithContext(running)
	defer func() {
		if err != nil {
			err = s.why("setting up", err)
			s.close()
		}
	}()
	url, err := s.serveCloud(running, dir)
	if err != nil {
		return s, err
	}
	if err := s.people(ctx, dir, url); err != nil {
		return s, err
	}
	if err := s.enrol(ctx, b, dir, url, running); err != nil {
		return s, err
	}
	return s, s.register(ctx)
}

func (s *rightsSite) close() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].stop()
	}
	s.cancel()
	_ = s.group.Wait() // units and letters, which end when they are told to
}

// why adds what the processes said.
func (s *rightsSite) why(what string, err error) error {
	s.cancel()
	for _, p := range s.processes {
		p.stop()
		p.done <- nil // for close
		err = fmt.Errorf("%w; %s said: %s", err, filepath.Base(p.cmd.Path), tail(p.log.String()))
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (s *rightsSite) start(cmd *exec.Cmd) error {
	p, err := start(cmd)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return err
}

// serveCloud starts the mail server and the cloud and returns its address.
func (s *rightsSite) serveCloud(ctx context.Context, dir string) (string, error) {
	letters, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.group.Go(func() error { return s.letters.Serve(ctx, letters) })
	var at [3]string
	for i := range at {
		if at[i], err = freeAddress(); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("data_dir: %s\nname: localhost\nhttps: {listen: %q}\nmqtt: {listen: %q}\nmetrics: {listen: %q}\nmail: {server: %q, tls: none, from: bench@localhost}\n",
		filepath.Join(dir, "cloud"), at[0], at[1], at[2], letters.Addr())
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, s.program, "--config", s.config, "init").CombinedOutput(); err != nil {
		return "", fmt.Errorf("upscloud init: %w: %s", err, out)
	}
	if err := s.start(exec.CommandContext(context.WithoutCancel(ctx), s.program, "--config", s.config, "serve")); err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(at[0])
	return "https://localhost:" + port, await(ctx, 30*time.Second, func() bool {
		res, err := http.Get("http://" + at[2] + "/readyz")
		if err == nil {
			res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	})
}

// enrol makes the agent one of Ann's and starts it.
func (s *rightsSite) enrol(ctx context.Context, b *bench, dir, url string, running context.Context) error {
	var lines strings.Builder
	for i := range rightsUnits {
		where, err := serveUnit(running, s.group, "", "TCP", upssim.New(upssim.Options{Seed: uint64(1 + i)}))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "  - {name: rack-%d, %s}\n", i, where)
	}
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	run, err := b.agentOn(context.WithoutCancel(ctx), dir, metrics, lines.String())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return err
	}
	var token struct{ Token string }
	if err := s.ann.want(ctx, 0, http.MethodPost, "/agents/tokens", map[string]string{"name": "site"}, &token); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, b.agent, "--config", filepath.Join(dir, "agent.yaml"), "enroll", "--cloud", url, "--token", token.Token).CombinedOutput()
	if err != nil {
		return fmt.Errorf("upsagent enroll: %w: %s", err, out)
	}
	return s.start(run)
}

// register makes devices of what the agent reports, on the trial that every new device has, and waits until the site has confirmed them.
func (s *rightsSite) register(ctx context.Context) error {
	var failed error
	err := await(ctx, time.Minute, func() bool {
		var list struct {
			Items []struct{ Serial string } `json:"items"`
		}
		failed = s.ann.want(ctx, http.StatusOK, http.MethodGet, "/sightings", nil, &list)
		for _, u := range list.Items {
			var d struct{ ID string }
			if u.Serial == "" || failed != nil {
				continue
			}
			if failed = s.ann.want(ctx, 0, http.MethodPost, "/devices", map[string]string{"serial": u.Serial}, &d); failed == nil {
				s.devices = append(s.devices, rightsDevice{d.ID, u.Serial})
			}
		}
		return failed != nil || len(s.devices) >= rightsUnits
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("%d devices registered: %w", len(s.devices), err)
	}
	return s.allConfirmed(ctx)
}

func (s *rightsSite) allConfirmed(ctx context.Context) error {
	for _, d := range s.devices {
		if err := s.confirmed(ctx, d.id); err != nil {
			return err
		}
	}
	return nil
}

// people signs Ann and Bob up, and in.
func (s *rightsSite) people(ctx context.Context, dir, url string) error {
	ca, err := os.ReadFile(filepath.Join(dir, "cloud", "ca.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	for i, p := range []**person{&s.ann, &s.bob} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return err
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: 2 * rightsUnits}
		*p = &person{url + "/api/v1", &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute}}
		mail := []string{"ann@example.org", "bob@example.org"}[i]
		const password = "violet tractor 93 lemons"
		var begun struct{ Signup string }
		if err := (*p).want(ctx, 0, http.MethodPost, "/signup", map[string]string{"email": mail, "name": mail[:3], "password": password}, &begun); err != nil {
			return err
		}
		seen := 0
		code, err := s.code(ctx, mail, &seen)
		if err != nil {
			return err
		}
		if *p == s.bob {
			s.read = seen
		}
		if err := (*p).want(ctx, 0, http.MethodPost, "/signup/verify", map[string]string{"signup": begun.Signup, "code": code}, nil); err != nil {
			return err
		}
		if err := (*p).want(ctx, 0, http.MethodPost, "/session", map[string]string{"email": mail, "password": password}, nil); err != nil {
			return err
		}
	}
	return nil
}

// share has Ann invite Bob to all devices, Bob accept with the code from the letter, and the site confirm it.
func (s *rightsSite) share(ctx context.Context) error {
	var ids []string
	for _, d := range s.devices {
		ids = append(ids, d.id)
	}
	if err := s.ann.want(ctx, 0, http.MethodPost, "/invitations", map[string]any{"devices": ids, "email": "bob@example.org"}, nil); err != nil {
		return err
	}
	code, err := s.code(ctx, "bob@example.org", &s.read)
	if err != nil {
		return err
	}
	if err := s.bob.want(ctx, 0, http.MethodPost, "/invitations/accept", map[string]string{"code": code}, nil); err != nil {
		return err
	}
	return s.allConfirmed(ctx)
}

var codeInLetter = regexp.MustCompile(`\b[A-Z0-9]{4}(-[A-Z0-9]{4}){2}\b`)

// code waits for the next letter to an address that has a code in it, and takes it. read counts letters to all.
func (s *rightsSite) code(ctx context.Context, to string, read *int) (code string, err error) {
	err = await(ctx, time.Minute, func() bool {
		all := s.letters.Mails()
		for ; *read < len(all) && code == ""; *read++ {
			if m := all[*read]; m.To == to {
				code = codeInLetter.FindString(m.Text)
			}
		}
		return code != ""
	})
	if err != nil {
		return "", fmt.Errorf("a letter with a code to %s: %w", to, err)
	}
	return code, nil
}

// A person uses the HTTP interface.
type person struct {
	base   string
	client *http.Client
}

// ask sends a request and returns status and body.
func (p *person) ask(ctx context.Context, method, path string, body any) (int, []byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, answer, err
}

// want sends a request that is to be answered with a status, 0 for any of success, and decodes the answer.
func (p *person) want(ctx context.Context, status int, method, path string, body, into any) error {
	got, answer, err := p.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	if got != status && (status != 0 || got/100 != 2) {
		return fmt.Errorf("%s %s: status %d: %s", method, path, got, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// refused sends a request that must be refused for a reason: what was changed holds from its commit on, the first time it is asked.
func (p *person) refused(ctx context.Context, reason, method, path string, body any) error {
	status, answer, err := p.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	var problem struct{ Reason string }
	if err := json.Unmarshal(answer, &problem); err != nil || status/100 != 4 || problem.Reason != reason {
		return fmt.Errorf("%s %s is to be refused with %s and is not: status %d: %s", method, path, reason, status, answer)
	}
	return nil
}
