package command

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// find returns the order of an id, nil where it is not known.
func (j *journal) find(id wire.ID) (e *entry, err error) {
	err = j.read("look for an order", func(t *tx) { e = t.order(id) })
	return e, err
}

func (t *tx) order(id wire.ID) *entry {
	var state, ended, crc int64
	var body []byte
	if !t.get([]any{&state, &ended, &body, &crc}, "SELECT state, ended, body, crc FROM orders WHERE id = ?", id[:]) {
		return nil
	}
	return t.entry(id, state, ended, body, crc)
}

func (t *tx) entry(id wire.ID, state, ended int64, body []byte, crc int64) *entry {
	if sum("orders", []int64{state, ended}, id[:], body) != crc {
		t.fail(damaged("orders"))
		return nil
	}
	e, err := decodeEntry(id, state, body)
	if err != nil {
		t.fail(fmt.Errorf("%w: %w", errBroken, err))
	}
	return e
}

// live returns the orders that have not ended.
func (j *journal) live() (all []*entry, err error) {
	err = j.read("look for orders that have not ended", func(t *tx) {
		t.each(func(rows *sql.Rows) error {
			var id, body []byte
			var state, ended, crc int64
			if err := rows.Scan(&id, &state, &ended, &body, &crc); err != nil {
				return err
			}
			var key wire.ID
			copy(key[:], id)
			if e := t.entry(key, state, ended, body, crc); e != nil {
				all = append(all, e)
			}
			return t.err
		}, "SELECT id, state, ended, body, crc FROM orders WHERE ended < 0")
	})
	return all, err
}

// add puts a new order, in the state it has by now.
func (t *tx) add(e *entry) {
	t.forget()
	var n int64
	if t.get([]any{&n}, "SELECT count(*) FROM orders"); t.err == nil && n >= t.room(e) {
		t.fail(errFull)
		return
	}
	t.save("INSERT INTO orders (state, ended, body, crc, id) VALUES (?, ?, ?, ?, ?)", e)
	t.meta.counter = max(t.meta.counter, e.counted)
}

// room is how many orders the journal may have before e.
func (t *tx) room(e *entry) int64 {
	switch more := t.most / spare; {
	case e.state == wire.OrderRefused:
		return t.most + more
	case e.cmd.Action == string(policy.OrderCancel):
		return t.most + 2*more
	}
	return t.most
}

// update writes an order that has not ended yet. One that has gets no second end: that would be a mistake of this program.
func (t *tx) update(e *entry) {
	if was := t.order(e.cmd.ID); was != nil {
		e.recall = was.recall // others note it than who works on the order
	}
	if n := t.save("UPDATE orders SET state = ?, ended = ?, body = ?, crc = ? WHERE id = ? AND ended < 0", e); t.err == nil && n != 1 {
		t.fail(fmt.Errorf("order %v has ended before, or is not there", e.cmd.ID))
	}
}

// recall notes that an order is taken back, as long as it has not ended.
func (t *tx) recall(id wire.ID, r recall) {
	e := t.order(id)
	if e == nil || e.state.Final() {
		return
	}
	e.recall = r
	t.save("UPDATE orders SET state = ?, ended = ?, body = ?, crc = ? WHERE id = ? AND ended < 0", e)
}

func (t *tx) save(query string, e *entry) int64 {
	body, err := e.encode()
	if err != nil {
		t.fail(err)
		return 0
	}
	state, ended := numberOf(e.state), int64(-1)
	if e.state.Final() {
		ended = int64(t.meta.age)
	}
	return t.exec(query, state, ended, body, sum("orders", []int64{state, ended}, e.cmd.ID[:], body), e.cmd.ID[:])
}

// forget deletes some of what need not be known any more.
func (t *tx) forget() {
	t.exec("DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE ended BETWEEN 0 AND ? LIMIT ?)", int64(t.meta.age-keepFor), forgetOnce)
	t.exec("DELETE FROM drops WHERE age < ?", int64(t.meta.age-24*time.Hour))
}

// tell queues a result for the store.
func (t *tx) tell(o Outgoing) {
	if t.told = append(t.told, o.Result); o.private {
		return
	}
	t.meta.number++
	o.Number = t.meta.number
	body, err := encodeOutgoing(o)
	if err != nil {
		t.fail(err)
		return
	}
	t.exec("INSERT INTO outbox VALUES (?, ?, ?)", int64(o.Number), body, sum("outbox", []int64{int64(o.Number)}, body))
}

// crowded reports whether so many results wait for the store that only those are told that somebody has to know.
func (t *tx) crowded() bool {
	var oldest int64
	return t.get([]any{&oldest}, "SELECT number FROM outbox ORDER BY number LIMIT 1") && int64(t.meta.number)-oldest >= t.most/waiting
}

// waiting returns the oldest results that the store does not have, and the journal they are of.
func (j *journal) waiting(most int) (of wire.ID, out []Outgoing, err error) {
	err = j.read("read results", func(t *tx) {
		of = t.meta.journal
		t.each(func(rows *sql.Rows) error {
			var number, crc int64
			var body []byte
			if err := rows.Scan(&number, &body, &crc); err != nil {
				return err
			}
			if sum("outbox", []int64{number}, body) != crc {
				return damaged("outbox")
			}
			o, err := decodeOutgoing(uint64(number), body)
			if err != nil {
				return fmt.Errorf("%w: %w", errBroken, err)
			}
			out = append(out, o)
			return nil
		}, "SELECT number, body, crc FROM outbox ORDER BY number LIMIT ?", most)
	})
	return of, out, err
}

// delivered lets go of results that the store has.
func (j *journal) delivered(through uint64) error {
	return j.write("let go of results", func(t *tx) { t.exec("DELETE FROM outbox WHERE number <= ?", int64(through)) })
}

// binds returns what the cloud has said of each device.
func (j *journal) binds() (all map[string]*bind, err error) {
	all = map[string]*bind{}
	err = j.read("read binds", func(t *tx) {
		t.each(func(rows *sql.Rows) error {
			device, b, err := scanBind(rows)
			all[device] = b
			return err
		}, "SELECT device, body, crc FROM binds")
	})
	return all, err
}

func scanBind(rows *sql.Rows) (device string, b *bind, err error) {
	var body []byte
	var crc int64
	if err := rows.Scan(&device, &body, &crc); err != nil {
		return "", nil, err
	}
	if sum("binds", nil, []byte(device), body) != crc {
		return "", nil, damaged("binds")
	}
	if b, err = decodeBind(device, body); err != nil {
		return "", nil, errors.Join(errBroken, err)
	}
	return device, b, nil
}

func (t *tx) saveBind(device string, b *bind) {
	body, err := b.encode()
	if err != nil {
		t.fail(err)
		return
	}
	t.exec("INSERT OR REPLACE INTO binds VALUES (?, ?, ?)", device, body, sum("binds", nil, []byte(device), body))
}

// drop notes that the load of a device is to be dropped now.
func (t *tx) drop(device string) {
	t.drops = append(t.drops, device)
	t.dropAt(device, t.meta.age)
}

func (t *tx) dropAt(device string, at time.Duration) {
	age := int64(at)
	t.exec("INSERT INTO drops (device, age, crc) VALUES (?, ?, ?)", device, age, sum("drops", []int64{age}, []byte(device)))
}

// drops returns how often the load of a device, "" for any, was ordered to be dropped in the last day, and how long ago the last time was; below 0:
// never. A journal that took the place of a broken one does not know, and counts as one time then.
func (j *journal) drops(device string) (today int, last time.Duration, err error) {
	last = -1
	err = j.read("read when the load was dropped", func(t *tx) {
		if t.meta.lost >= 0 && t.meta.age-t.meta.lost < 24*time.Hour {
			today, last = 1, t.meta.age-t.meta.lost
		}
		t.each(func(rows *sql.Rows) error {
			var of string
			var age, crc int64
			if err := rows.Scan(&of, &age, &crc); err != nil {
				return err
			}
			if sum("drops", []int64{age}, []byte(of)) != crc {
				return damaged("drops")
			}
			if ago := t.meta.age - time.Duration(age); ago < 24*time.Hour {
				today++
				if last < 0 || ago < last {
					last = ago
				}
			}
			return nil
		}, "SELECT device, age, crc FROM drops WHERE device = ? OR ? = ''", device, device)
	})
	return today, last, err
}
