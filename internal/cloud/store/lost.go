package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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
