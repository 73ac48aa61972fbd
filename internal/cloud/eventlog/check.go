package eventlog

import (
	"context"
	"fmt"
	"strings"

	"upsedge/internal/cloud/store"
)

// maxBroken is how many entries of a chain, broken in themselves, are held against each other to tell what was done.
const maxBroken = 200

// A check goes through one chain.
type check struct {
	chain  string
	verify func(jws string) ([]byte, error)

	entries, heads, unchecked, more int64
	findings                        []Finding

	signed map[int64][]Head // by number
	epoch  uint32

	last   *Logged // the entry before; nil: none
	sound  bool    // its content is what its hash was made of
	broken []*Logged
}

func (c *check) find(from, to int64, what What, format string, args ...any) {
	if len(c.findings) >= maxFindings {
		c.more++
		return
	}
	f := Finding{Chain: c.chain, Epoch: c.epoch, From: from, To: to, What: what, Detail: fmt.Sprintf(format, args...)}
	if strings.HasPrefix(c.chain, "d_") {
		f.Device = c.chain
	}
	c.findings = append(c.findings, f)
}

// run verifies the chain as one snapshot has it.
func (c *check) run(ctx context.Context, tx *store.Tx, given []Head) error {
	head, hasHead, err := storedHead(ctx, tx, c.chain)
	if err != nil {
		return err
	}
	c.epoch = head.Epoch
	if err := c.loadSigned(ctx, tx, given); err != nil {
		return err
	}
	if err := c.walk(ctx, tx); err != nil {
		return err
	}
	c.explain()
	c.end(head, hasHead)
	return nil
}

// loadSigned reads the signed heads that are kept, and adds those from elsewhere.
func (c *check) loadSigned(ctx context.Context, tx *store.Tx, given []Head) error {
	c.signed = map[int64][]Head{}
	rows, err := tx.Query(ctx, `SELECT n, signature FROM event_signatures WHERE chain = $1 ORDER BY n`, c.chain)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		var jws string
		if err := rows.Scan(&n, &jws); err != nil {
			return err
		}
		h, err := c.believe(jws)
		if err == nil && (h.Chain != c.chain || h.Number != n) {
			err = fmt.Errorf("it is of entry %d of %s", h.Number, h.Chain)
		}
		if err != nil {
			c.find(n, n, BadHead, "%v", err)
			continue
		}
		c.signed[n] = append(c.signed[n], h)
	}
	for _, h := range given {
		c.signed[h.Number] = append(c.signed[h.Number], h)
	}
	return rows.Err()
}

func (c *check) believe(jws string) (Head, error) {
	payload, err := unchecked(jws)
	if c.verify != nil {
		payload, err = c.verify(jws)
	} else {
		c.unchecked++
	}
	if err != nil {
		return Head{}, err
	}
	return ParseHead(payload)
}

// walk reads the entries in the order of their numbers.
func (c *check) walk(ctx context.Context, tx *store.Tx) error {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM event_log WHERE chain = $1 ORDER BY n`, c.chain)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c.entries++
		l, plain, err := scan(rows)
		if err != nil {
			next := int64(1)
			if c.last != nil {
				next = c.last.Number + 1
			}
			c.find(next, next, Unreadable, "%v", err)
			c.last, c.sound = &Logged{Number: next}, false
			continue
		}
		c.epoch = max(c.epoch, l.Epoch)
		c.entry(l, plain)
	}
	return rows.Err()
}

// entry judges one entry behind the one before.
func (c *check) entry(l *Logged, plain bool) {
	sound := plain && l.sum() == l.Hash
	var before int64
	var previous Hash
	if c.last != nil {
		before, previous = c.last.Number, c.last.Hash
	}
	switch {
	case l.Number < 1:
		c.find(l.Number, l.Number, Inserted, "number %d, and numbers begin with 1", l.Number)
		return
	case l.Number > before+1:
		c.find(before+1, l.Number-1, Missing, "")
	case l.Previous != previous && sound && c.last == nil:
		c.find(l.Number, l.Number, Replaced, "it is not the beginning of a chain")
	case l.Previous != previous && sound && c.sound:
		c.find(before, before, Replaced, "entry %d was written behind another one", l.Number)
	}
	if !sound {
		if len(c.broken) < maxBroken {
			c.broken = append(c.broken, l)
		} else {
			c.more++
		}
	}
	for _, h := range c.signed[l.Number] {
		if c.heads++; h.Hash != l.Hash {
			c.find(l.Number, l.Number, Rewritten, "another entry was signed under this number on %s", stamp(h.At))
		}
	}
	delete(c.signed, l.Number)
	c.last, c.sound = l, sound
}

// explain says of entries that are broken in themselves what was done to them.
func (c *check) explain() {
	told := map[int64]bool{}
	for i, l := range c.broken {
		if told[l.Number] {
			continue
		}
		if other := c.swapped(i); other != nil {
			told[other.Number] = true
			c.find(l.Number, l.Number, Swapped, "it stands in the place of entry %d, and that one here", other.Number)
			continue
		}
		if shift := l.shifted(c.broken); shift != 0 {
			to := l.Number
			for _, next := range c.broken[i+1:] {
				if next.Number != to+1 || !next.was(next.Number+shift) {
					break
				}
				to, told[next.Number] = next.Number, true
			}
			c.find(l.Number, to, Renumbered, "written as number %d", l.Number+shift)
			continue
		}
		c.find(l.Number, l.Number, Changed, "")
	}
}

// swapped returns the entry that the i-th broken one has changed places with: as they stand, or with all but numbers and hashes.
func (c *check) swapped(i int) *Logged {
	l := c.broken[i]
	for _, other := range c.broken[i+1:] {
		if l.was(other.Number) && other.was(l.Number) || l.fits(other) && other.fits(l) {
			return other
		}
	}
	return nil
}

// was reports whether the entry, hash and all, was written under that number.
func (l *Logged) was(number int64) bool {
	as := *l
	as.Number = number
	return as.sum() == l.Hash
}

// fits reports whether the content of the entry is what the hash of another place was made of.
func (l *Logged) fits(place *Logged) bool {
	as := *l
	as.Number, as.Previous = place.Number, place.Previous
	return as.sum() == place.Hash
}

// shifted returns how far from its number the entry was written; 0: it was not, as far as can be told.
func (l *Logged) shifted(broken []*Logged) int64 {
	for _, by := range []int64{1, -1, 2, -2} {
		if l.was(l.Number + by) {
			return by
		}
	}
	for _, other := range broken {
		if other != l && l.was(other.Number) {
			return other.Number - l.Number
		}
	}
	return 0
}

// end compares where the chain ends with where it had come.
func (c *check) end(head Head, hasHead bool) {
	var last int64
	var hash Hash
	if c.last != nil {
		last, hash = c.last.Number, c.last.Hash
	}
	furthest := Head{}
	for n, heads := range c.signed {
		c.heads += int64(len(heads))
		if n > last && n > furthest.Number {
			furthest = heads[0]
		}
	}
	switch {
	case !hasHead:
		c.find(0, 0, HeadGone, "")
	case head.Number > last:
		c.find(last+1, head.Number, Truncated, "")
	case head.Number < last:
		c.find(head.Number+1, last, Inserted, "the chain had come to number %d", head.Number)
	case head.Hash != hash && c.sound:
		c.find(last, last, HeadWrong, "the last entry is another one")
	}
	if furthest.Number > last && !(hasHead && head.Number >= furthest.Number) {
		c.find(last+1, furthest.Number, Truncated, "number %d was signed on %s", furthest.Number, stamp(furthest.At))
	}
}
