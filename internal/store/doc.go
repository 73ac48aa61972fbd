// Package store is the agent's durable state: one SQLite file under the state directory. It owns the two numbered lanes
// (events and samples) until the cloud has acknowledged them, the alarm state of each unit, the pairing of raise and clear,
// and the knowledge of what an earlier run left unfinished. It does not encode samples, does not retry, and knows no network;
// DESIGN.md beside it says what the tables hold and what survives a power cut (design, sections 5 and 12).
//
// What is put is sealed with a key per unit and epoch, which can be destroyed for itself (Erase).
//
// The promise: what a Put accepted and nobody acknowledged is there after any crash, under the number it got. What is lost
// all the same, to the quota or to a damaged page, leaves a gap record in the events lane.
//
// A Store is safe for concurrent use. Writes queue for one connection, reads do not wait for them.
package store

import (
	"errors"
	"fmt"

	"upsedge/internal/wire"
)

// Errors that callers branch on.
var (
	// ErrFull means the quota is used up by what must not be dropped: nothing was stored.
	ErrFull = errors.New("the spool is full and nothing in it may be dropped")
	// ErrInUse means another process has opened the directory.
	ErrInUse = errors.New("the state directory is in use by another agent")
	// ErrBroken means the structure of the file is damaged. Every later call says the same: close the store and open it
	// again; Open sets the file aside and begins a new stream.
	ErrBroken = errors.New("the database is structurally broken")
	// ErrDisk means that the disk refuses: it is full, read only, failing or gone. What was to be done may succeed later.
	ErrDisk = errors.New("the disk refuses")
	// ErrClosed means the store was closed before.
	ErrClosed = errors.New("the store is closed")
)

// A CorruptError is a single damaged entry outside the lanes, or one whose key is lost. In the lanes it becomes a gap record instead.
type CorruptError struct{ What string }

func (e *CorruptError) Error() string { return e.What + " is damaged, or its key is lost" }

// Samples is one encoded block of one unit. Payload is not kept after the call.
type Samples struct {
	Unit        string
	Epoch       uint32
	First, Last wire.Stamp // of the first and the last row in the block
	Payload     []byte
}

// An Interrupted is a unit whose samples stopped without a clean end. The agent makes a gap record of it: from Last to
// Resumed, or to the start of this run where Resumed is zero.
type Interrupted struct {
	Unit    string
	Last    wire.Stamp // end of the last stored samples; without any, what Begin was told; zero: nobody knows
	Resumed wire.Stamp // start of the first samples stored afterwards, zero while there are none
}

func checkLane(l wire.Lane) error {
	if l != wire.Events && l != wire.Samples {
		return fmt.Errorf("no such lane: %v", l)
	}
	return nil
}
