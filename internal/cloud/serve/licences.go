package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// ErrMistyped is behind what the operator can mend in the command line.
var ErrMistyped = errors.New("mistyped")

type mistyped struct{ error }

func (mistyped) Is(target error) bool { return target == ErrMistyped }

// operate runs fn beside a running server, and makes words of what it refuses.
func operate(ctx context.Context, cfg *Config, fn func(o *Operator) error) error {
	o, err := OpenOperator(ctx, cfg)
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
			err = mistyped{err}
		}
	}
	return errors.Join(err, o.Close())
}

// A LicenceOrder says which codes to make.
type LicenceOrder struct {
	Plan        string
	Days        int
	Count, Uses int       // codes, and devices for each
	Expires     time.Time // of the codes; zero: never
	Note        string
}

// IssueLicences makes codes and prints them, this once.
func IssueLicences(ctx context.Context, cfg *Config, what LicenceOrder, to io.Writer) error {
	return operate(ctx, cfg, func(o *Operator) error {
		list, err := o.Issue(ctx, licence.Issue{Plan: policy.Plan(what.Plan), Days: what.Days, Uses: what.Uses, Expires: what.Expires, Note: what.Note}, what.Count)
		for _, l := range list {
			if err == nil {
				_, err = fmt.Fprintf(to, "%s\t%s\t%s\t%s\t%s\n", l.Code, l.ID, l.Plan, ups.Count(l.Days, "day"), ups.Count(l.Uses, "use"))
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

// ListLicences prints what was issued, without codes: a table, or JSON, one object to a line.
func ListLicences(ctx context.Context, cfg *Config, asJSON bool, to io.Writer) error {
	return operate(ctx, cfg, func(o *Operator) error {
		list, err := o.Licences(ctx)
		if err != nil {
			return err
		}
		if !asJSON {
			return printLicences(list, to)
		}
		enc := json.NewEncoder(to)
		for _, l := range list {
			line := licenceLine{l.ID, l.Number, l.Plan, l.Days, l.Uses, l.Used, l.IssuedAt, orNil(l.Expires), orNil(l.Revoked), l.Note}
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
}

func printLicences(list []licence.Licence, to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LICENCE\tNUMBER\tPLAN\tDAYS\tUSED\tISSUED\tSTATE\tNOTE")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d of %d\t%s\t%s\t%s\n", l.ID, l.Number, l.Plan, l.Days, l.Used, l.Uses, l.IssuedAt.Format(time.DateOnly), codeState(&l), l.Note)
	}
	return w.Flush()
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// codeState is what can be done with a code.
func codeState(l *licence.Licence) string {
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

// RevokeLicence ends a code, by the id of its licence or its number.
func RevokeLicence(ctx context.Context, cfg *Config, which string, to io.Writer) error {
	return operate(ctx, cfg, func(o *Operator) error {
		l, err := o.Revoke(ctx, which)
		if err == nil {
			_, err = fmt.Fprintf(to, "licence %s is revoked; %d of its %d uses were made and stay\n", l.ID, l.Used, l.Uses)
		}
		return err
	})
}

// SetPlan gives a unit a plan until an instant; zero: without an end.
func SetPlan(ctx context.Context, cfg *Config, serial, plan string, until time.Time, to io.Writer) error {
	if until.IsZero() {
		until = device.Forever
	}
	return operate(ctx, cfg, func(o *Operator) error {
		was, is, err := o.SetPlan(ctx, serial, policy.Plan(plan), until)
		if err == nil {
			_, err = fmt.Fprintf(to, "%s: %s; it was %s\n", strconv.Quote(is.Serial), terms(is), terms(was))
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
