package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud/serve"
)

type licenceCmd struct {
	Issue  issueCmd  `cmd:"" help:"Make activation codes and print them, this once: one to a line, code first."`
	List   listCmd   `cmd:"" help:"What was issued, and how much of it was used. No codes."`
	Revoke revokeCmd `cmd:"" help:"Have a code used no more. What was done with it stays."`
}

type issueCmd struct {
	Plan    string `help:"Which plan: ${enum}." enum:"standard,advanced" required:""`
	Days    int    `help:"Days of it for each device." required:""`
	Count   int    `help:"How many codes." default:"1"`
	Uses    int    `help:"For how many devices each code is." default:"1"`
	Expires string `help:"When the codes end, used or not: 2027-01-31 or 2027-01-31T12:00:00Z (UTC). Without it they do not." placeholder:"TIME"`
	Note    string `help:"For the list: the order's number, for instance." placeholder:"TEXT"`
}

func (c *issueCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	expires, err := parseTime("--expires", c.Expires)
	if err != nil {
		return err
	}
	return cli.operate(func(cfg *serve.Config) error {
		what := serve.LicenceOrder{Plan: c.Plan, Days: c.Days, Count: c.Count, Uses: c.Uses, Expires: expires, Note: c.Note}
		return serve.IssueLicences(ctx, cfg, what, s.out)
	})
}

type listCmd struct {
	JSON bool `help:"As JSON, one object to a line." name:"json"`
}

func (c *listCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	return cli.operate(func(cfg *serve.Config) error { return serve.ListLicences(ctx, cfg, c.JSON, s.out) })
}

type revokeCmd struct {
	Licence string `arg:"" help:"Its id, or the number with which its code begins; the list has both."`
}

func (c *revokeCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	return cli.operate(func(cfg *serve.Config) error { return serve.RevokeLicence(ctx, cfg, c.Licence, s.out) })
}

type planCmd struct {
	Set planSetCmd `cmd:"" help:"Give a unit a plan, whatever was paid for it. A running server tells the site within seconds."`
}

type planSetCmd struct {
	Serial string `arg:"" help:"Serial number of the unit."`
	Plan   string `arg:"" help:"Which plan: ${enum}." enum:"basic,standard,advanced"`
	Until  string `help:"When it ends: 2027-01-31 or 2027-01-31T12:00:00Z (UTC). Without it it does not." placeholder:"TIME"`
}

func (c *planSetCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	until, err := parseTime("--until", c.Until)
	if err != nil {
		return err
	}
	if c.Plan == "basic" && c.Until != "" {
		return usageError{errors.New("--until: nothing ends the plan basic")}
	}
	return cli.operate(func(cfg *serve.Config) error { return serve.SetPlan(ctx, cfg, c.Serial, c.Plan, until, s.out) })
}

// parseTime reads a time that somebody typed: a day, which is its beginning in UTC, or an instant; zero where there is none.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("%s: %q is no time like 2027-01-31 or 2027-01-31T12:00:00Z", flag, text)}
}

// operate calls fn with the configuration. What the operator has mistyped is a usage error.
func (c *commands) operate(fn func(cfg *serve.Config) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err = fn(cfg); errors.Is(err, serve.ErrMistyped) {
		return usageError{err}
	}
	return err
}
