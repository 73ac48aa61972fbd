package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"upsedge/internal/cloud/store"
)

// What is wrong at a place of a chain.
type What string

// What can be found.
const (
	Missing    What = "deleted"           // numbers that nobody has
	Changed    What = "changed"           // its content is not what its hash was made of
	Inserted   What = "inserted"          // it has a number that was never given
	Swapped    What = "swapped"           // two entries stand in each other's place
	Renumbered What = "renumbered"        // it stands under another number than it was written with
	Replaced   What = "replaced"          // whole in itself, but what stands behind it was written behind another
	Truncated  What = "truncated"         // the end is missing
	Rewritten  What = "rewritten"         // whole in itself, but another entry was signed under this number
	BadHead    What = "bad signed head"   // a signed head that cannot be believed, and so proves nothing
	HeadGone   What = "head is missing"   // the row that says how far the chain had come
	NoLog      What = "log is missing"    // of a device that is registered
	Unreadable What = "cannot be read"    // a column holds what it cannot hold
	HeadWrong  What = "head does not fit" // it has the last number and another hash
)

// A Finding says where which chain was altered.
type Finding struct {
	Chain    string
	Device   string // the same, where it is one of a device
	Epoch    uint32
	From, To int64 // numbers of the entries; 0: it is about none
	What     What
	Detail   string
}

func (f Finding) String() string {
	s := "chain " + f.Chain
	if f.Device != "" {
		s = "device " + f.Device
	}
	if f.Epoch != 0 {
		s += fmt.Sprintf(", epoch %d", f.Epoch)
	}
	switch {
	case f.From != 0 && f.To > f.From:
		s += fmt.Sprintf(", entries %d to %d", f.From, f.To)
	case f.From != 0 || f.To != 0:
		s += fmt.Sprintf(", entry %d", f.From)
	}
	s += ": " + string(f.What)
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	return s
}

// A Report is what a verification found.
type Report struct {
	Chains, Entries int64
	Heads           int64 // signed heads that were compared
	Unchecked       int64 // signed heads whose signatures nobody could check
	Findings        []Finding
	More            int64 // findings beyond maxFindings
}

const maxFindings = 1000

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Print writes one line for each finding and one that sums up.
func (r *Report) Print(w io.Writer) error {
	var errs []error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	for _, f := range r.Findings {
		say("%s", f)
	}
	if r.More > 0 {
		say("and %d more", r.More)
	}
	if r.Unchecked > 0 {
		say("%d signed heads were compared without a look at their signatures", r.Unchecked)
	}
	verdict := "nothing was altered"
	if !r.OK() {
		verdict = "the event log was altered"
	}
	say("%d entries in %d chains, %d signed heads: %s", r.Entries, r.Chains, r.Heads, verdict)
	return errors.Join(errs...)
}

// Options say what is verified.
type Options struct {
	Device string // its chain alone; "": all
	// Heads are signed heads from elsewhere: of exports, of whoever kept one.
	Heads []string
	// Check verifies a signature over a head and returns what was signed. nil: the heads kept in the database are compared without; Heads
	// are then refused.
	Check func(jws string) (payload []byte, err error)
}

// Verify reads whole chains and says what was altered. It takes each chain in a transaction of its own, so appends go on meanwhile. The error
// is about reading: it is not known whether anything was altered. For a program: error 2, findings 1, else 0.
func Verify(ctx context.Context, db *store.DB, o Options) (*Report, error) {
	r := &Report{}
	given, err := o.given()
	if err != nil {
		return nil, err
	}
	var chains, silent []string
	err = db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if o.Device != "" {
			chains = []string{o.Device}
			return nil
		}
		chains, err = tx.Texts(ctx, `SELECT chain FROM event_heads UNION SELECT chain FROM event_log UNION SELECT chain FROM event_signatures ORDER BY 1`)
		if err == nil {
			silent, err = tx.Texts(ctx, `SELECT id FROM devices WHERE id NOT IN (SELECT chain FROM event_log) ORDER BY id`)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verify the event log: %w", err)
	}
	for _, id := range silent {
		r.add(Finding{Chain: id, Device: id, What: NoLog})
	}
	for _, chain := range withGiven(chains, given, o.Device) {
		var c *check
		err := db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
			c = &check{chain: chain, verify: o.Check}
			return c.run(ctx, tx, given[chain])
		})
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", chain, err)
		}
		r.Chains++
		r.Entries += c.entries
		r.Heads += c.heads
		r.Unchecked += c.unchecked
		for _, f := range c.findings {
			r.add(f)
		}
		r.More += c.more
	}
	return r, nil
}

func (r *Report) add(f Finding) {
	if len(r.Findings) >= maxFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, f)
}

// given reads the heads from elsewhere, by chain.
func (o *Options) given() (map[string][]Head, error) {
	out := map[string][]Head{}
	for _, jws := range o.Heads {
		if o.Check == nil {
			return nil, errors.New("verify the event log: signed heads were given, and no key to check them with")
		}
		payload, err := o.Check(jws)
		if err != nil {
			return nil, fmt.Errorf("verify the event log: the signed head that was given: %w", err)
		}
		h, err := ParseHead(payload)
		if err != nil {
			return nil, fmt.Errorf("verify the event log: the signed head that was given: %w", err)
		}
		out[h.Chain] = append(out[h.Chain], h)
	}
	return out, nil
}

// withGiven adds the chains that only a head from elsewhere knows.
func withGiven(chains []string, given map[string][]Head, device string) []string {
	known := map[string]bool{}
	for _, c := range chains {
		known[c] = true
	}
	for c := range given {
		if !known[c] && (device == "" || device == c) {
			chains = append(chains, c)
		}
	}
	return chains
}

// storedHead is the row that says how far a chain has come.
func storedHead(ctx context.Context, tx *store.Tx, chain string) (h Head, ok bool, err error) {
	var epoch int64
	var hash []byte
	err = tx.QueryRow(ctx, `SELECT epoch, n, hash FROM event_heads WHERE chain = $1`, chain).Scan(&epoch, &h.Number, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return h, false, nil
	}
	h.Chain, h.Epoch = chain, uint32(epoch)
	if copy(h.Hash[:], hash) != len(hash) || len(hash) != len(h.Hash) {
		h.Hash = Hash{} // fits nothing
	}
	return h, true, err
}
