package command

import (
	"context"

	"upsedge/internal/ups"
)

// A Unit is what an order is carried out at. Its methods are called one at a time for a device; Cancel may come while Execute runs.
type Unit interface {
	// Check reads the unit now and answers whether the command may go (EDGE-8): nil, or a *ups.Refusal. before is what judging the
	// outcome will need; it goes into the journal.
	Check(ctx context.Context, c ups.Command) (before []byte, err error)
	// Execute writes, once, and follows the status registers to the end. progress may be called any number of times. When ctx ends it
	// returns soon; its outcome does not count then, the next start asks Judge. progress is called from within.
	Execute(ctx context.Context, c ups.Command, before []byte, progress func(percent int, detail string)) ups.Outcome
	// Judge is called after a crash instead of Execute: it only reads.
	Judge(ctx context.Context, c ups.Command, before []byte) ups.Outcome
}

// A Canceller is a Unit that can take back some of what runs.
type Canceller interface {
	// Cancel tells the unit to take back the command that Execute or Judge follows, which then ends as Cancelled. A *ups.Refusal says
	// that it cannot be taken back; nothing was written then.
	Cancel(ctx context.Context, c ups.Command) error
	// Recalled is called before Judge where Cancel may have written before a crash.
	Recalled(c ups.Command)
}

// A Witness is a Unit whose Judge makes use of what is known of the time before it.
type Witness interface {
	// Witnessed is called before Judge. progress is the farthest that Execute had told and that went to disk, 0 where that is nothing, by
	// the ten; rebooted means that the box itself was started anew since the order began: another boot of its operating system.
	Witnessed(c ups.Command, progress int, rebooted bool)
}

// A Target is a unit of the site under the serial number it reports itself.
type Target struct {
	Name string // in the configuration
	Unit Unit
}
