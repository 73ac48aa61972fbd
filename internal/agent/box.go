package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/doctor"
	"upsedge/internal/enroll"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const (
	// sendFor is how long it is tried to send a bundle: the order of the device in hand keeps others waiting meanwhile.
	sendFor    = 5 * time.Minute
	leastAgain = 2 * time.Second // between two tries
	mostAgain  = 30 * time.Second
	// askAgain is the pause behind a question to the cloud that came to nothing, where a restart has to find out what became of an order.
	askAgain = 10 * time.Second
)

// A cloudClient is where bundles go.
type cloudClient interface {
	PutBundle(ctx context.Context, order string, data []byte) (*enroll.Kept, error)
	HasBundle(ctx context.Context, order string) (*enroll.Kept, error)
}

// A box carries out support.bundle: it makes one about a unit and sends it over HTTPS (T-16). It is made for one order.
type box struct {
	order  string
	busy   *sync.Mutex // of the agent: one bundle at a time
	may    func() bool // orders.bundle
	client func() (cloudClient, error)
	make   func() (*doctor.Bundle, error)

	mu     sync.Mutex
	cancel context.CancelFunc // nil: nothing is on its way
}

// box is for command.Options.
func (a *agent) box(order wire.ID, unit string) command.Unit {
	return &box{
		order: order.String(), busy: &a.bundling, may: func() bool { return a.current.Load().Orders.Bundle },
		client: func() (cloudClient, error) {
			up := a.link.up.Load()
			if up.cfg == nil {
				return nil, errors.New("there is no uplink")
			}
			return enroll.NewClient(a.Config.StateDir, up.cfg.CertFile, a.clock.Certificates)
		},
		make: func() (*doctor.Bundle, error) { return doctor.Make(a.bundleFacts(unit, false), a.secrets()) },
	}
}

// Check is for command.Unit.
func (b *box) Check(context.Context, ups.Command) ([]byte, error) {
	if !b.may() {
		return nil, &ups.Refusal{Reason: string(policy.LocalPolicy), Detail: "orders.bundle is false"}
	}
	if _, err := b.client(); err != nil {
		return nil, &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: "this box was not enrolled with the cloud that it is connected to"}
	}
	if !b.busy.TryLock() {
		return nil, &ups.Refusal{Reason: ups.ReasonBusy, Detail: "another support bundle is being made here"}
	}
	b.busy.Unlock()
	return nil, nil
}

// Execute is for command.Unit.
func (b *box) Execute(ctx context.Context, _ ups.Command, _ []byte, progress func(int, string)) ups.Outcome {
	if !b.busy.TryLock() {
		return ups.Outcome{State: ups.Refused, Reason: ups.ReasonBusy, Detail: "another support bundle is being made here"}
	}
	defer b.busy.Unlock()
	client, err := b.client()
	if err != nil || !b.may() {
		return ups.Outcome{State: ups.Refused, Reason: string(policy.LocalPolicy), Detail: "the configuration has changed meanwhile"}
	}
	made, err := b.make()
	if err != nil {
		return ups.Outcome{State: ups.Failed, Detail: "it could not be made: " + err.Error()}
	}
	progress(20, fmt.Sprintf("made: %d bytes", len(made.Data)))
	within, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	b.set(cancel)
	defer b.set(nil)
	kept, err := b.send(within, client, made, progress)
	switch {
	case err == nil:
		return kept2done(kept)
	case ctx.Err() != nil:
		return ups.Outcome{State: ups.Unknown} // the next start asks
	case errors.Is(within.Err(), context.Canceled):
		return b.cancelled(ctx, client)
	}
	return ups.Outcome{State: ups.Failed, Detail: "it was made, and could not be sent: " + doctor.Redact(err.Error())}
}

func (b *box) set(cancel context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel = cancel
}

func kept2done(k *enroll.Kept) ups.Outcome {
	return ups.Outcome{State: ups.Done, Detail: fmt.Sprintf("the cloud has it: %d bytes, SHA-256 %s", k.Size, k.SHA256)}
}

// send tries until within ends, or the cloud says no.
func (b *box) send(within context.Context, client cloudClient, made *doctor.Bundle, progress func(int, string)) (*enroll.Kept, error) {
	var before error
	for pause := leastAgain; ; pause = min(2*pause, mostAgain) {
		kept, err := client.PutBundle(within, b.order, made.Data)
		if err == nil && (kept.SHA256 != made.Sum() || kept.Size != int64(len(made.Data))) {
			err = &enroll.RefusedError{Status: http.StatusConflict, Reason: "CONFLICT", Detail: "what the cloud has is another one"}
		}
		var refused *enroll.RefusedError
		if err == nil || errors.As(err, &refused) && !passing(refused.Status) {
			return kept, err
		}
		if within.Err() != nil && before != nil { // why it came to that says more than that it is over
			err = before
		}
		before = err
		progress(50, "it could not be sent yet: "+doctor.Redact(err.Error()))
		select {
		case <-within.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// passing reports whether a status may be another one next time.
func passing(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError || status == http.StatusRequestTimeout
}

// cancelled finds out whether the cloud has it though it was taken back.
func (b *box) cancelled(ctx context.Context, client cloudClient) ups.Outcome {
	if kept, err := client.HasBundle(ctx, b.order); err == nil {
		return kept2done(kept)
	} else if !errors.Is(err, enroll.ErrNothing) {
		return ups.Outcome{State: ups.Cancelled, Reason: ups.ReasonCancelled, Detail: "it was being sent, and whether the cloud has it is not known"}
	}
	return ups.Outcome{State: ups.Cancelled, Reason: ups.ReasonCancelled, Detail: "it was not sent"}
}

// Judge is for command.Unit: the cloud is asked, and nothing is made or sent again.
func (b *box) Judge(ctx context.Context, _ ups.Command, _ []byte) ups.Outcome {
	client, err := b.client()
	if err != nil {
		return ups.Outcome{State: ups.Failed, Detail: "the agent ended before it was sent, and there is no cloud to ask any more"}
	}
	kept, err := client.HasBundle(ctx, b.order)
	var refused *enroll.RefusedError
	switch {
	case err == nil:
		return kept2done(kept)
	case errors.Is(err, enroll.ErrNothing):
		return ups.Outcome{State: ups.Failed, Detail: "the agent ended before it was sent: the cloud has none"}
	case errors.As(err, &refused) && !passing(refused.Status):
		return ups.Outcome{State: ups.Unknown, Detail: "the agent ended while it was made or sent, and the cloud does not say whether it has it"}
	}
	select {
	case <-ctx.Done():
	case <-time.After(askAgain):
	}
	return ups.Outcome{State: ups.Unknown, Reason: ups.ReasonUnreachable, Detail: "the agent ended while it was made or sent, and the cloud cannot be asked"}
}

// Cancel is for command.Canceller.
func (b *box) Cancel(context.Context, ups.Command) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel == nil {
		return &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: "nothing is on its way now"}
	}
	b.cancel()
	return nil
}

// Recalled is for command.Canceller.
func (b *box) Recalled(ups.Command) {}
