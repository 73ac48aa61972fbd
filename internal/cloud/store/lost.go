package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// lost reports whether an error means that the connection to the server is gone, or that there is none now.
func lost(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		// Class 08: connection; 57P01 to 57P03: the server is being stopped, has crashed, or does not serve yet; 53300: too many
		// connections; 25P03: idle too long in a transaction.
		return strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "57P0") || e.Code == "53300" || e.Code == "25P03"
	}
	var refused *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &refused) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Temporary reports whether an error of Write or Read is of the database, its disk or the way to it, so that the same may succeed later.
// Any other is of what was asked: a value that no column takes, a key that is there, a mistake.
func Temporary(err error) bool {
	if errors.Is(err, ErrInDoubt) || errors.Is(err, ErrGone) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || again(err) {
		return true
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return slices.Contains(ofTheDisk, lite.Code()&0xff)
	}
	var e *pgconn.PgError
	// Class 25: its transaction or server is read-only, 53: no more room, 55: in use, 57: an operator, 58: the system, XX: damaged.
	return errors.As(err, &e) && len(e.Code) == 5 && slices.Contains([]string{"25", "53", "55", "57", "58", "XX"}, e.Code[:2])
}

// ofTheDisk are primary result codes of SQLite: BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB.
var ofTheDisk = []int{5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26}

// sleep waits for d and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
