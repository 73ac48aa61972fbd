package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/serve"
	"upsedge/internal/policy"
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
	expires, err := parseTime("--expires", c.Expires, time.Time{})
	if err != nil {
		return err
	}
	return cli.operate(ctx, func(o *serve.Operator) error {
		list, err := o.Issue(ctx, licence.Issue{Plan: policy.Plan(c.Plan), Days: c.Days, Uses: c.Uses, Expires: expires, Note: c.Note}, c.Count)
		for _, l := range list {
			if err == nil {
				_, err = fmt.Fprintf(s.out, "%s\t%s\t%s\t%d days\t%d uses\n", l.Code, l.ID, l.Plan, l.Days, l.Uses)
			}
		}
		return err
	})
}

// A licenceLine is a licence as --json has it.
type licenceLine struct {
	ID        string      `json:"id"`
	Number    string      `json:"number"` // the beginning of the code
	Plan      policy.Plan `json:"plan"`
	Days      int         `json:"days"`
	Uses      int         `json:"uses"`
	Used      int         `json:"used"`
	IssuedAt  time.Time   `json:"issued_at"`
	ExpiresAt *time.Time  `json:"expires_at"` // null: never
	RevokedAt *time.Time  `json:"revoked_at"` // null: it is not
	Note      string      `json:"note"`
}

type listCmd struct {
	JSON bool `help:"As JSON, one object to a line." name:"json"`
}

func (c *listCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	return cli.operate(ctx, func(o *serve.Operator) error {
		list, err := o.Licences(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			enc := json.NewEncoder(s.out)
			for _, l := range list {
				line := licenceLine{l.ID, l.Number, l.Plan, l.Days, l.Uses, l.Used, l.IssuedAt, orNil(l.Expires), orNil(l.Revoked), l.Note}
				if err := enc.Encode(line); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "LICENCE\tNUMBER\tPLAN\tDAYS\tUSED\tISSUED\tSTATE\tNOTE")
		for _, l := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d of %d\t%s\t%s\t%s\n", l.ID, l.Number, l.Plan, l.Days, l.Used, l.Uses, l.IssuedAt.Format(time.DateOnly), state(&l), l.Note)
		}
		return w.Flush()
	})
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// state is what can be done with a code.
func state(l *licence.Licence) string {
	switch {
	case !l.Revoked.IsZero():
		return "revoked " + l.Revoked.Format(time.DateOnly)
	case l.Used >= l.Uses:
		return "used"
	case l.Expires.IsZero():
		return "open"
	case !time.Now().Before(l.Expires):
		return "expired " + l.Expires.Format(time.DateOnly)
	}
	return "open until " + l.Expires.Format(time.DateOnly)
}

type revokeCmd struct {
	Licence string `arg:"" help:"Its id, or the number with which its code begins; the list has both."`
}

func (c *revokeCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	return cli.operate(ctx, func(o *serve.Operator) error {
		l, err := o.Revoke(ctx, c.Licence)
		if err == nil {
			_, err = fmt.Fprintf(s.out, "licence %s is revoked; %d of its %d uses were made and stay\n", l.ID, l.Used, l.Uses)
		}
		return err
	})
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
	until, err := parseTime("--until", c.Until, device.Forever)
	if err != nil {
		return err
	}
	if c.Plan == string(policy.Basic) && c.Until != "" {
		return usageError{errors.New("--until: nothing ends the plan basic")}
	}
	return cli.operate(ctx, func(o *serve.Operator) error {
		was, is, err := o.SetPlan(ctx, c.Serial, policy.Plan(c.Plan), until)
		if err == nil {
			_, err = fmt.Fprintf(s.out, "%s: %s; it was %s\n", strconv.Quote(is.Serial), terms(is), terms(was))
		}
		return err
	})
}

// terms says which plan a device has, until when, and what follows.
func terms(d *device.Device) string {
	now := time.Now()
	text := string(d.PlanAt(now))
	for end := d.EndAt(now); end.Before(device.Forever); end = d.EndAt(end) {
		text += " until " + end.Format(time.RFC3339) + ", then " + string(d.PlanAt(end))
	}
	return text
}

// parseTime reads a time that somebody typed: a day, which is its beginning in UTC, or an instant.
func parseTime(flag, text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("%s: %q is no time like 2027-01-31 or 2027-01-31T12:00:00Z", flag, text)}
}

// operate runs fn on the database of the configuration. What fn is told of as mistyped is a usage error.
func (c *commands) operate(ctx context.Context, fn func(o *serve.Operator) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	o, err := serve.OpenOperator(ctx, cfg)
	if err != nil {
		return err
	}
	err = fn(o)
	if e := (*cloud.Error)(nil); errors.As(err, &e) {
		err = errors.New(e.Detail)
		if e.Field != "" {
			err = fmt.Errorf("%s: %s", e.Field, e.Detail)
		}
		if e.Reason == policy.Malformed {
			err = usageError{err}
		}
	}
	return errors.Join(err, o.Close())
}
