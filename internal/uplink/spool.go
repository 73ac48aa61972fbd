package uplink

import (
	"context"

	"upsedge/internal/wire"
)

// A Spool keeps records until they are delivered. Its methods are called from several goroutines and return soon after ctx
// ends.
type Spool interface {
	// Next returns records of lane with sequence numbers above after, ascending: at most max of them and, beyond the first,
	// at most maxBytes of payload. None and no error means that there is nothing yet. What it returned is durable.
	Next(ctx context.Context, lane wire.Lane, after uint64, max, maxBytes int) ([]wire.Record, error)
	// Ack says that everything of lane up to and including through is delivered: it may be deleted. It can be called again
	// with the same or a lower number.
	Ack(ctx context.Context, lane wire.Lane, through uint64) error
	// Changed returns a channel that can be received from (it got a value, or it was closed) once lane has got a record
	// after the call.
	Changed(lane wire.Lane) <-chan struct{}
}
