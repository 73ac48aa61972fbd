package agent

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/doctor"
	"upsedge/internal/enroll"
	"upsedge/internal/ups"
)

// A depot is a cloud that keeps bundles, and can misbehave.
type depot struct {
	mu    sync.Mutex
	kept  *enroll.Kept
	puts  int
	fails []error // of the puts to come; nil: it goes well
	lost  bool    // the put that goes well is answered with an error
	slow  time.Duration
	asked error // of questions
}

func (d *depot) PutBundle(ctx context.Context, _ string, data []byte) (*enroll.Kept, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.puts++
	select {
	case <-time.After(d.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(d.fails) > 0 {
		err := d.fails[0]
		if d.fails = d.fails[1:]; err != nil {
			return nil, err
		}
	}
	b := doctor.Bundle{Data: data}
	d.kept = &enroll.Kept{SHA256: madeSum, Size: int64(len(b.Data))}
	if d.lost {
		d.lost = false
		return nil, io.ErrUnexpectedEOF
	}
	return d.kept, nil
}

func (d *depot) HasBundle(context.Context, string) (*enroll.Kept, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked != nil {
		return nil, d.asked
	}
	if d.kept == nil {
		return nil, enroll.ErrNothing
	}
	return d.kept, nil
}

var madeSum = strings.Repeat("00", 32)

func newBox(d *depot) *box {
	return &box{
		order: "1", busy: &sync.Mutex{}, may: func() bool { return true }, client: func() (cloudClient, error) { return d, nil },
		make: func() (*doctor.Bundle, error) { return &doctor.Bundle{Data: []byte("abc")}, nil },
	}
}

func (b *box) run(ctx context.Context) ups.Outcome {
	return b.Execute(ctx, ups.Command{Action: "support.bundle"}, nil, func(int, string) {})
}

func TestT67ABundleIsSentOnceAndWhatBecameOfItIsTold(t *testing.T) {
	full, no := &enroll.RefusedError{Status: 503, Reason: "INTERNAL"}, &enroll.RefusedError{Status: 409, Reason: "CONFLICT", Detail: "that order has ended"}
	away := errors.New("dial tcp 10.1.2.3:8443: connect: connection refused")
	var long []error
	for range 100 {
		long = append(long, away)
	}
	for name, row := range map[string]struct {
		depot *depot
		alter func(*box)
		want  ups.OutcomeState
		says  string
		puts  int
	}{
		"it goes well":        {&depot{}, nil, ups.Done, "3 bytes, SHA-256 0000", 1},
		"at the third try":    {&depot{fails: []error{away, full}}, nil, ups.Done, "the cloud has it", 3},
		"the answer was lost": {&depot{lost: true}, nil, ups.Done, "the cloud has it", 2},
		"the cloud says no":   {&depot{fails: []error{no}}, nil, ups.Failed, "that order has ended", 1},
		"nobody is there":     {&depot{fails: long}, nil, ups.Failed, "dial tcp <address>: connect: connection refused", 0},
		"it takes too long":   {&depot{slow: time.Hour}, nil, ups.Failed, "could not be sent", 1},
		"there is a secret in it": {&depot{}, func(b *box) {
			b.make = func() (*doctor.Bundle, error) { return nil, &doctor.SecretError{Of: "x", File: "log.txt"} }
		}, ups.Failed, "log.txt would have had what is in x", 0},
		"the site says no meanwhile":      {&depot{}, func(b *box) { b.may = func() bool { return false } }, ups.Refused, "has changed", 0},
		"another one is made at the time": {&depot{}, func(b *box) { b.busy.Lock() }, ups.Refused, "another support bundle", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(row.depot)
			if row.alter != nil {
				row.alter(b)
			}
			began := time.Now()
			got := b.run(t.Context())
			if got.State != row.want || !strings.Contains(got.Detail, row.says) || row.puts != 0 && row.depot.puts != row.puts || row.depot.puts > 20 || strings.Contains(got.Detail, "10.1.2.3") {
				t.Errorf("%s: %v %s, sent %d times", name, got.State, got.Detail, row.depot.puts)
			}
			if took := time.Since(began); took > sendFor+time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
		})
	}
}

func TestT67TheSiteSaysNoToBundlesAlone(t *testing.T) {
	for name, row := range map[string]struct {
		alter func(*box)
		want  string
	}{
		"orders.bundle":  {func(b *box) { b.may = func() bool { return false } }, "LOCAL_POLICY"},
		"not enrolled":   {func(b *box) { b.client = func() (cloudClient, error) { return nil, errors.New("x") } }, "UNSUPPORTED"},
		"one at a time":  {func(b *box) { b.busy.Lock() }, "BUSY"},
		"nothing at all": {func(*box) {}, ""},
	} {
		b := newBox(&depot{})
		row.alter(b)
		_, err := b.Check(t.Context(), ups.Command{})
		got := ""
		if r := (*ups.Refusal)(nil); errors.As(err, &r) {
			got = r.Reason
		}
		if got != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestT67ACancelledBundleIsNotSent, unless it was.
func TestT67ACancelledBundleIsNotSent(t *testing.T) {
	for _, had := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := &depot{slow: time.Minute}
			if had {
				d = &depot{lost: true, fails: []error{nil, io.EOF, io.EOF, io.EOF}}
			}
			b := newBox(d)
			if err := b.Cancel(t.Context(), ups.Command{}); err == nil {
				t.Error("what has not begun was taken back")
			}
			ended := make(chan ups.Outcome)
			go func() { ended <- b.run(t.Context()) }()
			synctest.Wait()
			if err := b.Cancel(t.Context(), ups.Command{}); err != nil {
				t.Error(err)
			}
			want := map[bool]ups.OutcomeState{false: ups.Cancelled, true: ups.Done}[had]
			if got := <-ended; got.State != want {
				t.Errorf("had %v: %v %s", had, got.State, got.Detail)
			}
		})
	}
}

// T-13: behind a crash the cloud is asked, and nothing is made or sent.
func TestT13ABundleIsNotSentAgainBehindARestart(t *testing.T) {
	for name, row := range map[string]struct {
		depot *depot
		want  ups.OutcomeState
		why   string
	}{
		"it has it":       {&depot{kept: &enroll.Kept{SHA256: madeSum, Size: 3}}, ups.Done, ""},
		"it has none":     {&depot{}, ups.Failed, ""},
		"it says no":      {&depot{asked: &enroll.RefusedError{Status: 401, Reason: "UNAUTHENTICATED"}}, ups.Unknown, ""},
		"it is not there": {&depot{asked: io.EOF}, ups.Unknown, ups.ReasonUnreachable},
		"it is at a loss": {&depot{asked: &enroll.RefusedError{Status: 500}}, ups.Unknown, ups.ReasonUnreachable},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(row.depot)
			b.make = func() (*doctor.Bundle, error) { t.Error("a bundle was made"); return nil, io.EOF }
			got := b.Judge(t.Context(), ups.Command{}, nil)
			if got.State != row.want || got.Reason != row.why || row.depot.puts != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
	// A process that ends while it is sent decides nothing: the next one asks.
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBox(&depot{slow: time.Minute})
		ended := make(chan ups.Outcome)
		go func() { ended <- b.run(ctx) }()
		synctest.Wait()
		cancel()
		if got := <-ended; got.State != ups.Unknown {
			t.Errorf("%+v", got)
		}
	})
}
