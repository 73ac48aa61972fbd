package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"upsedge/internal/enroll"
	"upsedge/internal/trust"
)

// An enrolment is one that is wanted.
type enrolment struct {
	cloud *url.URL
	token trust.Token
}

// wanted reads the address of a cloud and a token. Another enrolment, or another broker, that this box has already is an error here, before
// anything is written.
func (s *setup) wanted(cloud, token string) (*enrolment, error) {
	e := &enrolment{}
	var err error
	if e.cloud, err = enroll.ParseCloud(cloud); err != nil {
		return nil, err
	}
	if e.token, err = (&enrollCmd{Token: token}).token(s.std); err != nil {
		return nil, fmt.Errorf("the token: %w", err)
	}
	var present *enroll.PresentError // above all before anything is written
	if err := enroll.Taken(s.cfg.StateDir, presentUplink(s.cfg)); errors.As(err, &present) && present.Cloud != e.cloud.String() {
		return nil, fmt.Errorf("%w (sudo upsagent enroll --force)", err)
	}
	return e, nil
}

// enrolNow makes this box an agent of the cloud that is wanted, or finds that it is one.
func (s *setup) enrolNow(ctx context.Context) error {
	if s.enrol == nil {
		var err error
		s.done.Agent, s.done.Cloud, err = enroll.Finish(s.cfg.StateDir, presentUplink(s.cfg))
		return err
	}
	s.step("enrol")
	s.say("Asking %s to take this box ...", s.enrol.cloud)
	done, err := enrolBox(ctx, s.cli, s.cfg, enroll.Options{Cloud: s.enrol.cloud, Token: s.enrol.token, CAFile: s.CA, Step: s.step})
	var present *enroll.PresentError
	switch {
	case errors.As(err, &present) && present.Cloud == s.enrol.cloud.String():
		s.done.Agent, s.done.Cloud = present.Agent, present.Cloud
		s.say("This box is agent %s of it already.", present.Agent)
		return nil
	case err != nil:
		return fmt.Errorf("not enrolled with %s: %w", s.enrol.cloud, err)
	}
	s.done.Agent, s.done.Cloud, s.done.Enrolled, s.done.Changed = done.Agent, done.Cloud, true, true
	s.say("This box is agent %s of %s.", done.Agent, done.Cloud)
	return s.load()
}

// enrolUntil enrols, and asks whether to try again where that does not work.
func (s *setup) enrolUntil(ctx context.Context) error {
	for {
		err := s.enrolNow(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errStopped
		}
		s.say("\n%s", err)
		token := ""
		if err := s.ask.until(ctx, "Enter = try again, a token = try with that one, s = go on without the cloud:", func(answer string) error {
			token = answer
			if answer == "" || strings.EqualFold(answer, "s") {
				return nil
			}
			t, err := trust.ParseToken(answer)
			s.enrol.token = t
			return err
		}); err != nil {
			return err
		}
		if strings.EqualFold(token, "s") {
			s.say("Later: sudo upsagent setup, or sudo upsagent enroll --cloud %s --token -", s.enrol.cloud)
			s.enrol = nil
			return nil
		}
	}
}

// askCloud asks for a cloud where none is configured.
func (s *setup) askCloud(ctx context.Context) error {
	if s.enrol != nil || s.cfg.Uplink != nil {
		return nil
	}
	s.say("\nA cloud takes a box with a token from the owner of the site. Without one everything works here: status page, alarms, Prometheus.")
	cloud := ""
	if err := s.ask.until(ctx, "Address of the cloud, like https://cloud.example:8443 [none]:", func(answer string) error {
		if answer == "" || answer == none {
			return nil
		}
		at, err := enroll.ParseCloud(answer)
		if err == nil {
			cloud = at.String()
		}
		return err
	}); err != nil || cloud == "" {
		return err
	}
	return s.ask.until(ctx, "Token [none]:", func(answer string) (err error) {
		if answer == "" || answer == none || answer == "-" {
			s.say("  Without a token not now. Later: sudo upsagent enroll --cloud %s --token -", cloud)
			return nil
		}
		s.enrol, err = s.wanted(cloud, answer)
		return err
	})
}
