package command

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"upsedge/internal/wire"
)

// What is in a journal is of one enrolment: what one cloud said of devices is nothing to another. But for what was done on site: a load that
// was dropped was dropped, and an order given at the box that runs in a unit has to end, whichever cloud the box has by then.

// inherit takes that over from the journals of other enrolments, and takes it from them. It is on disk here before it goes there; what comes
// twice, after a crash in between, is known. A journal that cannot be read keeps what it has, until the next time.
func (x *Executor) inherit(ctx context.Context, j *journal) {
	if b := x.o.Before; b != nil {
		ago, lost := b.limits.now(x.o.Clock.Mono(time.Now()))
		err := error(nil)
		if len(ago) > 0 || lost >= 0 {
			err = j.write("take over from the executor before", func(t *tx) { t.inherit(ago, lost, nil) })
		}
		if err == nil {
			x.o.Before = nil
		}
	}
	for _, dir := range x.o.From {
		path := filepath.Join(dir, fileName)
		if path == j.path || !exists(path) {
			continue
		}
		if err := x.inheritFrom(ctx, j, dir); err != nil {
			x.log.Warn("what another journal knows of orders given on site is not known here", "journal", path, "err", err)
		}
	}
}

func (x *Executor) inheritFrom(ctx context.Context, j *journal, dir string) error {
	o := x.o
	o.Dir, o.rows = dir, new(atomic.Int64)
	old, err := openJournal(ctx, o, false, true)
	if err != nil {
		return err
	}
	ago, lost, err := old.dropped()
	if err != nil {
		return errors.Join(err, old.close())
	}
	live, err := old.live()
	if err != nil {
		return errors.Join(err, old.close())
	}
	live = slices.DeleteFunc(live, func(e *entry) bool { return !e.local })
	if len(ago) == 0 && len(live) == 0 && lost < 0 {
		return old.close()
	}
	err = j.write("take over from another journal", func(t *tx) { t.inherit(ago, lost, live) })
	if err == nil {
		err = old.write("give up to another journal", func(t *tx) {
			t.exec("DELETE FROM drops")
			t.meta.lost = -1
			for _, e := range live {
				t.exec("DELETE FROM orders WHERE id = ?", e.cmd.ID[:])
			}
		})
	}
	return errors.Join(err, old.close())
}

// inherit writes down what another journal knows. Two times of one device that lie within a second of each other are one.
func (t *tx) inherit(ago map[string][]time.Duration, lost time.Duration, live []*entry) {
	known := t.dropped()
	for device, all := range ago {
		for _, d := range all {
			if !slices.ContainsFunc(known[device], func(k time.Duration) bool { return (k - d).Abs() < time.Second }) {
				t.dropAt(device, t.meta.age-d)
			}
		}
	}
	if lost >= 0 && (t.meta.lost < 0 || t.meta.age-t.meta.lost > lost) {
		t.meta.lost = max(t.meta.age-lost, 0)
	}
	for _, e := range live {
		if t.order(e.cmd.ID) == nil {
			e.bound = false // whoever's it was
			t.add(e)
		}
	}
}

// Forget takes from the journal of o.Dir, which nobody has open, what a cloud before has said and ordered. What was done on site stays.
func Forget(ctx context.Context, o Options) error {
	if !exists(filepath.Join(o.Dir, fileName)) {
		return nil
	}
	o.rows = new(atomic.Int64)
	j, err := openJournal(ctx, o.complete(), false, true)
	if err != nil {
		return err
	}
	err = j.write("forget a cloud", func(t *tx) {
		for _, e := range t.all() {
			switch {
			case !e.local:
				t.exec("DELETE FROM orders WHERE id = ?", e.cmd.ID[:])
			case !e.state.Final():
				e.bound = false
				t.save("UPDATE orders SET state = ?, ended = ?, body = ?, crc = ? WHERE id = ? AND ended < 0", e)
			}
		}
		t.exec("DELETE FROM binds")
		t.exec("DELETE FROM outbox")
		t.meta.counter = 0
	})
	return errors.Join(err, j.close())
}

// all returns the orders; those that came to harm count as none that was given on site.
func (t *tx) all() (all []*entry) {
	t.each(func(rows *sql.Rows) error {
		var id, body []byte
		var state, ended, crc int64
		if err := rows.Scan(&id, &state, &ended, &body, &crc); err != nil {
			return err
		}
		var key wire.ID
		copy(key[:], id)
		e := t.entry(key, state, ended, body, crc)
		if t.err != nil {
			return t.err
		}
		all = append(all, e)
		return nil
	}, "SELECT id, state, ended, body, crc FROM orders")
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// complete fills in what may be left out.
func (o Options) complete() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.driver == "" {
		o.driver = "sqlite"
	}
	if o.most == 0 {
		o.most = mostOrders
	}
	return o
}
