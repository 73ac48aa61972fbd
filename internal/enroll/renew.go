package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"
)

// When a certificate is renewed: at about two thirds of its life, each agent at an instant of its own between earliest and latest parts of
// it, so that those which were enrolled on one day do not come on one. At latest there is more left than the alarm of its end needs (823).
const (
	earliest = 0.60
	latest   = 0.66
	// Pauses after an attempt that came to nothing; a removed agent asks once a day.
	leastPause = time.Minute
	mostPause  = 6 * time.Hour
	// lookEvery is how often it is looked whether it is time.
	lookEvery = 10 * time.Minute
)

// A Renewer renews the certificate of an agent while it runs.
type Renewer struct {
	dir   dir
	agent string
	time  Time
	log   *slog.Logger
}

// NewRenewer returns the Renewer of the agent whose certificate the configuration names, nil where no enrolment has made that file: then whoever
// made it renews it. time judges dates.
func NewRenewer(stateDir, certFile string, time Time, log *slog.Logger) *Renewer {
	agent, err := Present(stateDir, certFile)
	if err != nil {
		return nil
	}
	return &Renewer{dir{filepath.Join(stateDir, dirName), -1, -1}, agent, time, log}
}

// Run renews until ctx ends. What keeps it from that is told once and tried again; the certificate is good for a month by then.
func (r *Renewer) Run(ctx context.Context) error {
	pause, said := leastPause, ""
	for {
		wait := lookEvery
		switch renewed, err := r.renewIfDue(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if err.Error() != said {
				r.log.Warn("the agent's certificate cannot be renewed yet; it is tried again", "err", err)
				said = err.Error()
			}
			wait = pause/2 + rand.N(pause)
			pause = min(2*pause, mostPause)
		case renewed:
			pause, said = leastPause, ""
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// renewIfDue renews when it is time. While nobody knows the time it is not: a certificate is not judged by a clock that says 2038.
func (r *Renewer) renewIfDue(ctx context.Context) (bool, error) {
	key, chain, err := readKey(r.dir.file(r.agent, "agent.pem"))
	if err != nil {
		return false, err
	}
	if len(chain) == 0 {
		return false, fmt.Errorf("%s: no certificate in it", r.dir.file(r.agent, "agent.pem"))
	}
	if now, sure := r.time(); !sure || now.Before(due(chain[0])) {
		return false, nil
	}
	return true, r.renew(ctx, key)
}

// due is when a certificate is renewed: the same instant whenever it is asked.
func due(c *x509.Certificate) time.Time {
	h := fnv.New32a()
	h.Write(c.Raw)
	part := earliest + (latest-earliest)*float64(h.Sum32())/float64(1<<32)
	return c.NotBefore.Add(time.Duration(part * float64(c.NotAfter.Sub(c.NotBefore))))
}

// renew asks for a certificate of the same key: one file changes, and a copy of the key that somebody has gets no longer life from it than
// from the certificate, since a removed agent gets none.
func (r *Renewer) renew(ctx context.Context, key *ecdsa.PrivateKey) error {
	cloud, j, own, err := r.dir.cloud(r.agent, r.time)
	if err != nil {
		return err
	}
	request, err := csr(key)
	if err != nil {
		return err
	}
	a, err := ask(ctx, cloud, "/api/v1/agents/self/certificate", j, own, map[string]string{"csr": request})
	if err != nil {
		return err
	}
	if err := a.check(key, nil); err != nil {
		return err
	}
	if a.Agent != r.agent {
		return errors.New("the cloud's answer: the certificate of another agent")
	}
	file, err := keyPEM(key)
	if err != nil {
		return err
	}
	if err := r.dir.write(append(file, a.Certificate...), r.agent, "agent.pem"); err != nil {
		return err
	}
	r.log.Info("the agent's certificate was renewed", "ends", a.chain[0].NotAfter)
	return nil
}
