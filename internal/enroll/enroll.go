package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"upsedge/internal/trust"
)

// An Uplink is what the configuration is to say.
type Uplink struct{ Broker, CAFile, CertFile, KeyFile string }

// Options are what an enrolment works with.
type Options struct {
	StateDir string
	Cloud    *url.URL
	Token    trust.Token
	CAFile   string // authorities by which to know the cloud; "": those of the token, or the system's
	Present  Uplink // what the configuration says now; zero: no uplink
	Force    bool   // another enrolment or broker may be replaced
	Time     Time
	// Check reports what would keep Configure from its work; it is asked before the token is used. Configure writes the configuration.
	Check, Configure func(Uplink) error
	// Step is told of each step before it is made; tests end the process there. Nil: nobody asks.
	Step func(name string)
}

// Done is what came of it.
type Done struct {
	Agent string
	Cloud string
	Again bool // an enrolment that was interrupted is complete now; the cloud was not asked
}

// A PresentError says that there is something which is not to be replaced by accident.
type PresentError struct {
	Agent, Cloud string // of an enrolment made here; "" where the configuration has another uplink
	what         string
}

func (e *PresentError) Error() string {
	return e.what + "; with --force it is replaced; another cloud gets nothing that waits here of the units: it is erased"
}

// errSpent is added to what the cloud says of a token that is no good.
var errSpent = errors.New("if it was this box, more than an hour ago, a new token makes the same agent of it: the key is kept")

// Enroll makes an agent of this box. It can be interrupted anywhere and be run again.
func Enroll(ctx context.Context, o Options) (*Done, error) {
	if o.Step == nil {
		o.Step = func(string) {}
	}
	d, err := openDir(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	l, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if done, err := o.present(d); done != nil || err != nil {
		return done, err
	}
	if err := o.Check(d.uplink("any", "tls://cloud.example:8883", false)); err != nil {
		return nil, err
	}
	j := &judge{pin: o.Token.Pin, time: o.Time}
	if err := j.readAuthorities(o.CAFile); err != nil {
		return nil, err
	}
	key, err := o.key(d)
	if err != nil {
		return nil, fmt.Errorf("key of this agent: %w", err)
	}
	a, err := o.ask(ctx, j, key)
	if err != nil {
		return nil, err
	}
	return o.keep(d, j, key, a)
}

// present decides what becomes of an enrolment that is there. done is not nil where there is nothing left to do.
func (o *Options) present(d dir) (done *Done, err error) {
	agent := d.enrolledAs(o.Present)
	at, _ := readURL(d.file(agent, "url"))
	if d.begun(agent) && at == o.Cloud.String() { // all but the last step was made
		return &Done{Agent: agent, Cloud: at, Again: true}, d.tidy(agent)
	}
	switch {
	case o.Force:
		return nil, nil
	case agent != "":
		return nil, &PresentError{agent, at, fmt.Sprintf("this box is agent %s of %s already", agent, at)}
	case o.Present.Broker != "":
		return nil, &PresentError{what: fmt.Sprintf("the configuration has an uplink to %s already", o.Present.Broker)}
	}
	return nil, nil
}

// begun reports whether the agent has the key of an enrolment that did not come to its end.
func (d dir) begun(agent string) bool {
	key, _, err := readKey(d.file("new.pem"))
	if err != nil || agent == "" {
		return false
	}
	own, _, err := readKey(d.file(agent, "agent.pem"))
	return err == nil && own.Equal(key)
}

// Finish makes the last step of an enrolment that was interrupted before it, and says who this box is by an enrolment that is complete; "" where
// none made the uplink.
func Finish(stateDir string, present Uplink) (agent, cloud string, err error) {
	d := dir{path: filepath.Join(stateDir, dirName)}
	if agent = d.enrolledAs(present); agent == "" {
		return "", "", nil
	}
	cloud, _ = readURL(d.file(agent, "url"))
	if d.begun(agent) {
		err = d.tidy(agent)
	}
	return agent, cloud, err
}

// Taken returns a *PresentError where a box with this uplink is an agent already, or has another broker, and nil where it can be enrolled.
func Taken(stateDir string, present Uplink) error {
	d := dir{path: filepath.Join(stateDir, dirName)}
	_, err := (&Options{Present: present, Cloud: new(url.URL)}).present(d)
	return err
}

// enrolledAs returns the agent that a configuration makes of this box by our files, "" for any other.
func (d dir) enrolledAs(u Uplink) string {
	agent := filepath.Base(filepath.Dir(u.CertFile))
	if u.CertFile == "" || d.file(agent, "agent.pem") != filepath.Clean(u.CertFile) {
		return ""
	}
	return agent
}

// Present returns the agent that a certificate file of the configuration makes of this box; an error where no enrolment made it.
func Present(stateDir, certFile string) (agent string, err error) {
	d := dir{path: filepath.Join(stateDir, dirName)}
	if agent = d.enrolledAs(Uplink{CertFile: certFile}); agent == "" {
		return "", fmt.Errorf("%s is not of an enrolment here", certFile)
	}
	_, chain, err := readKey(certFile)
	if err == nil && (len(chain) == 0 || chain[0].Subject.CommonName != agent) {
		err = fmt.Errorf("%s is not of agent %s", certFile, agent)
	}
	return agent, err
}

// Dirs returns the directories of the enrolments in a state directory, of the present one and of what is left of others.
func Dirs(stateDir string) (all []string) {
	d := dir{path: filepath.Join(stateDir, dirName)}
	entries, _ := os.ReadDir(d.path) // where there is none there was no enrolment
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, d.file(e.Name()))
		}
	}
	return all
}

func (d dir) uplink(agent, broker string, ca bool) Uplink {
	u := Uplink{Broker: broker, CertFile: d.file(agent, "agent.pem"), KeyFile: d.file(agent, "agent.pem")}
	if ca {
		u.CAFile = d.file(agent, "ca.pem")
	}
	return u
}

// key returns the key of an enrolment that was begun, wherever it was asked for: an address mistyped in between must not cost the key that a
// cloud knows already. Or it begins one.
func (o *Options) key(d dir) (*ecdsa.PrivateKey, error) {
	key, _, err := readKey(d.file("new.pem"))
	if err == nil {
		return key, nil
	}
	o.Step("key")
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	return key, d.write(text, "new.pem")
}

func (o *Options) ask(ctx context.Context, j *judge, key *ecdsa.PrivateKey) (*answer, error) {
	request, err := csr(key)
	if err != nil {
		return nil, err
	}
	o.Step("ask")
	a, err := ask(ctx, o.Cloud, "/api/v1/enrol", j, nil, map[string]string{"token": o.Token.String(), "csr": request})
	var no *RefusedError
	if errors.As(err, &no) && no.Reason == "TOKEN_INVALID" {
		return nil, fmt.Errorf("%w (%w)", err, errSpent)
	} else if err != nil {
		return nil, err
	}
	return a, a.check(key, o.Token.Pin)
}

// keep writes the answer down. The configuration is what counts, and comes behind all that it names.
func (o *Options) keep(d dir, j *judge, key *ecdsa.PrivateKey, a *answer) (*Done, error) {
	own, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	ca := authorities(j.ca, []byte(a.Authority))
	uplink := d.uplink(a.Agent, a.Brokers[0], len(ca) > 0)
	steps := []struct {
		name string
		do   func() error
	}{
		{"directory", func() error { return d.mkdir(a.Agent) }},
		{"url", func() error { return d.write([]byte(o.Cloud.String()+"\n"), a.Agent, "url") }},
		{"authorities", func() error {
			if len(ca) == 0 {
				return d.remove(a.Agent, "ca.pem")
			}
			return d.write(ca, a.Agent, "ca.pem")
		}},
		{"certificate", func() error { return d.write(append(own, a.Certificate...), a.Agent, "agent.pem") }},
		{"root", func() error { return d.pinRoot(o.StateDir, a) }},
		{"configuration", func() error { return o.Configure(uplink) }},
		{"tidy", func() error { return d.tidy(a.Agent) }},
	}
	for _, s := range steps {
		o.Step(s.name)
		if err := s.do(); err != nil {
			return nil, fmt.Errorf("keep the %s: %w (run the same command again: the token is good for this box within its hour)", s.name, err)
		}
	}
	return &Done{Agent: a.Agent, Cloud: o.Cloud.String()}, nil
}

// authorities puts those we were given and those we were told of into one file, each once.
func authorities(given, told []byte) []byte {
	if bytes.Contains(given, bytes.TrimSpace(told)) {
		return given
	}
	if len(given) > 0 && !bytes.HasSuffix(given, []byte("\n")) {
		given = append(bytes.Clone(given), '\n')
	}
	return append(bytes.Clone(given), told...)
}

// pinRoot pins the root of trust. The list of keys of another root is worth nothing under this one: behind the pin, because without a list an
// agent takes any that its root has signed, however old.
func (d dir) pinRoot(stateDir string, a *answer) error {
	if old, err := trust.LoadRoot(stateDir); err != nil || !old.Equal(a.root) {
		if err := trust.SaveRoot(stateDir, a.root); err != nil {
			return err
		}
	}
	if err := os.Lchown(trust.RootFile(stateDir), d.uid, d.gid); err != nil {
		return err
	}
	list, err := trust.InState(stateDir).Load()
	if err == nil && list == "" {
		return nil
	}
	if err == nil {
		_, err = trust.VerifyKeys(a.root, list)
	}
	if err == nil {
		return nil // the same cloud as before: agents do not go back to an older list
	}
	if err := os.Remove(string(trust.InState(stateDir))); err != nil {
		return err
	}
	return syncDir(stateDir)
}

// tidy takes away what the enrolments before have left.
func (d dir) tidy(agent string) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != agent {
			if err := d.remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return d.remove("new.pem") // the last: without it nothing would be tidied again
}
