package eventlog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// sealed signs in the form of a JWS, with a digest for a signature: the real keys are another package's.
func sealed(payload []byte) (string, error) {
	body := "e30." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(body + "secret"))
	return body + "." + base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

func unsealed(jws string) ([]byte, error) {
	parts := strings.Split(jws, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if again, _ := sealed(payload); err != nil || again != jws {
		return nil, errors.New("signature does not hold")
	}
	return payload, nil
}

func signer(at time.Time) *eventlog.Signer {
	return eventlog.NewSigner(sealed, func() time.Time { return at }, nil)
}

func verify(t testing.TB, db *store.DB, o eventlog.Options) *eventlog.Report {
	t.Helper()
	if o.Check == nil {
		o.Check = unsealed
	}
	r, err := eventlog.Verify(t.Context(), db, o)
	must(t, err)
	return r
}

// history writes n entries about device d_1 and a few beside it, and signs their heads.
func history(t testing.TB, db *store.DB, n int) {
	t.Helper()
	register(t, db, "d_1", "o_1", "a_ada")
	register(t, db, "d_2", "o_1", "a_ada")
	for i := range n {
		e := entry("d_1")
		e.At, e.Arrived = noon.Add(time.Duration(i)*time.Minute), noon.Add(time.Duration(i)*time.Minute+time.Second)
		e.Request, e.Reason = fmt.Sprintf("r%d", i), policy.Reason([]string{"", "BUSY"}[i%2])
		add(t, db, e)
	}
	add(t, db, entry("d_2"), eventlog.Entry{Org: "o_1", Actor: "u_ada", Action: string(policy.AgentEnroll), Outcome: eventlog.Done, At: noon})
}

func exec(t testing.TB, db *store.DB, statements ...string) {
	t.Helper()
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, s := range statements {
			if n, err := tx.Exec(ctx, s); err != nil || n == 0 && !strings.HasPrefix(s, "CREATE") {
				return fmt.Errorf("%s: %d rows, %w", s, n, errors.Join(err, errors.New("nothing was altered")))
			}
		}
		return nil
	}))
}

const d1 = `UPDATE event_log SET %s WHERE chain = 'd_1' AND n = 4`

// tamperings is what an operator with the database in hand might do to the seven entries of d_1, and where it must be seen.
var tamperings = map[string]struct {
	do   []string
	want []string // each the beginning of a finding
}{
	"delete one":          {[]string{`DELETE FROM event_log WHERE chain = 'd_1' AND n = 4`}, []string{"device d_1, epoch 1, entry 4: deleted"}},
	"delete several":      {[]string{`DELETE FROM event_log WHERE chain = 'd_1' AND n IN (2, 3)`}, []string{"device d_1, epoch 1, entries 2 to 3: deleted"}},
	"delete the first":    {[]string{`DELETE FROM event_log WHERE chain = 'd_1' AND n = 1`}, []string{"device d_1, epoch 1, entry 1: deleted"}},
	"delete the last":     {[]string{`DELETE FROM event_log WHERE chain = 'd_1' AND n = 7`}, []string{"device d_1, epoch 1, entry 7: truncated"}},
	"cut off the end":     {[]string{`DELETE FROM event_log WHERE chain = 'd_1' AND n > 4`}, []string{"device d_1, epoch 1, entries 5 to 7: truncated"}},
	"delete all":          {[]string{`DELETE FROM event_log WHERE chain = 'd_1'`}, []string{"device d_1: log is missing", "device d_1, epoch 1, entries 1 to 7: truncated"}},
	"all, and its head":   {[]string{`DELETE FROM event_log WHERE chain = 'd_2'`, `DELETE FROM event_heads WHERE chain = 'd_2'`}, []string{"device d_2: log is missing"}},
	"the head's number":   {[]string{`UPDATE event_heads SET n = 6 WHERE chain = 'd_1'`}, []string{"device d_1, epoch 1, entry 7: inserted"}},
	"the head's hash":     {[]string{`UPDATE event_heads SET hash = previous FROM event_log WHERE event_heads.chain = 'd_1' AND event_log.chain = 'd_1' AND event_log.n = 7`}, []string{"device d_1, epoch 1, entry 7: head does not fit"}},
	"delete the head":     {[]string{`DELETE FROM event_heads WHERE chain = 'd_1'`}, []string{"device d_1, epoch 1: head is missing"}},
	"change epoch":        {[]string{fmt.Sprintf(d1, `epoch = 2`)}, []string{"device d_1, epoch 2, entry 4: changed"}},
	"change org":          {[]string{fmt.Sprintf(d1, `org = 'o_2'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change device":       {[]string{fmt.Sprintf(d1, `device = 'd_2'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change at":           {[]string{fmt.Sprintf(d1, `at = at + 1`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change arrived":      {[]string{fmt.Sprintf(d1, `arrived = arrived + 1`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change actor":        {[]string{fmt.Sprintf(d1, `actor = 'u_bob'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change role":         {[]string{fmt.Sprintf(d1, `role = 'shared'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change action":       {[]string{fmt.Sprintf(d1, `action = 'alarm.mute'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change params":       {[]string{fmt.Sprintf(d1, `params = '{"delay":"configured"}'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"respace params":      {[]string{fmt.Sprintf(d1, `params = '{"delay": "none"}'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change outcome":      {[]string{fmt.Sprintf(d1, `outcome = 'failed'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change reason":       {[]string{fmt.Sprintf(d1, `reason = ''`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change request":      {[]string{fmt.Sprintf(d1, `request = 'other'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change plan":         {[]string{fmt.Sprintf(d1, `plan = 'basic'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change decided":      {[]string{fmt.Sprintf(d1, `decided = 'agent'`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change previous":     {[]string{fmt.Sprintf(d1, `previous = hash`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"change hash":         {[]string{fmt.Sprintf(d1, `hash = previous`)}, []string{"device d_1, epoch 1, entry 4: changed"}},
	"move to a chain":     {[]string{`UPDATE event_log SET chain = 'd_2', n = 2 WHERE chain = 'd_1' AND n = 4`}, []string{"device d_1, epoch 1, entry 4: deleted", "device d_2, epoch 1, entry 2: changed", "device d_2, epoch 1, entry 2: inserted"}},
	"swap two":            {swap("n", 3, 5), []string{"device d_1, epoch 1, entry 3: swapped: it stands in the place of entry 5"}},
	"swap two neighbours": {swap("n", 3, 4), []string{"device d_1, epoch 1, entry 3: swapped"}},
	"swap contents":       {swap("at", 2, 3, "arrived", "request", "reason"), []string{"device d_1, epoch 1, entry 2: swapped"}},
	"insert at the end":   {[]string{insert(8)}, []string{"device d_1, epoch 1, entry 8: changed", "device d_1, epoch 1, entry 8: inserted"}},
	"insert before all":   {[]string{insert(0)}, []string{"device d_1, epoch 1: inserted: number 0"}},
	"insert, and shift": {[]string{
		`UPDATE event_log SET n = n + 101 WHERE chain = 'd_1' AND n > 3`, `UPDATE event_log SET n = n - 100 WHERE chain = 'd_1' AND n > 100`, insert(4),
		`UPDATE event_heads SET n = 8 WHERE chain = 'd_1'`,
	}, []string{"device d_1, epoch 1, entry 4: renumbered: written as number 2", "device d_1, epoch 1, entries 5 to 8: renumbered: written as number 4"}},
	"delete, and close the hole": {[]string{
		`DELETE FROM event_log WHERE chain = 'd_1' AND n = 3`, `UPDATE event_log SET n = n + 100 WHERE chain = 'd_1' AND n > 3`,
		`UPDATE event_log SET n = n - 101 WHERE chain = 'd_1' AND n > 100`, `UPDATE event_heads SET n = 6 WHERE chain = 'd_1'`,
	}, []string{"device d_1, epoch 1, entries 3 to 6: renumbered: written as number 4"}},
}

// swap exchanges columns of two entries of d_1. A number is first set aside: no two have the same.
func swap(column string, a, b int, more ...string) (out []string) {
	if column == "n" {
		for _, step := range [][2]int{{a, 1000}, {b, a}, {1000, b}} {
			out = append(out, fmt.Sprintf(`UPDATE event_log SET n = %d WHERE chain = 'd_1' AND n = %d`, step[1], step[0]))
		}
		return out
	}
	var sets []string
	for _, c := range append(more, column) {
		sets = append(sets, fmt.Sprintf(`%[1]s = (SELECT o.%[1]s FROM keep_log o WHERE o.chain = 'd_1' AND o.n = %[2]d - event_log.n)`, c, a+b))
	}
	return []string{fmt.Sprintf(`UPDATE event_log SET %s WHERE chain = 'd_1' AND n IN (%d, %d)`, strings.Join(sets, ", "), a, b)}
}

// insert copies entry 2 under another number.
func insert(n int) string {
	return fmt.Sprintf(`INSERT INTO event_log SELECT chain, %d, epoch, org, device, at, arrived, actor, role, action, params, outcome, reason, request, plan, decided,
		previous, hash FROM event_log WHERE chain = 'd_1' AND n = 2`, n)
}

func TestT14OneAlteredRowIsNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		history(t, db, 7)
		if r := verify(t, db, eventlog.Options{}); !r.OK() || r.Entries != 9 || r.Chains != 3 {
			t.Fatalf("untouched: %+v", r)
		}
		exec(t, db, `CREATE TABLE keep_log AS SELECT * FROM event_log`, `CREATE TABLE keep_heads AS SELECT * FROM event_heads`)
		for name, row := range tamperings {
			exec(t, db, row.do...)
			var got []string
			for _, f := range verify(t, db, eventlog.Options{}).Findings {
				got = append(got, f.String())
			}
			same := len(got) == len(row.want)
			for i := range row.want {
				same = same && strings.HasPrefix(got[i], row.want[i])
			}
			if !same {
				t.Errorf("%s: found\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"), strings.Join(row.want, "\n\t"))
			}
			exec(t, db, `DELETE FROM event_log`, `INSERT INTO event_log SELECT * FROM keep_log`)
			must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `DELETE FROM event_heads`)
				return err
			}))
			exec(t, db, `INSERT INTO event_heads SELECT * FROM keep_heads`)
		}
	})
}

func TestT86AChainWrittenAnewIsFoundByWhoHoldsAnEarlierHead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		history(t, db, 7)
		kept := ""
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
			kept, err = signer(noon).Current(ctx, tx, "d_1")
			return err
		}))
		must(t, signer(noon).Round(t.Context(), db))
		if r := verify(t, db, eventlog.Options{Heads: []string{kept}}); !r.OK() || r.Heads != 4 {
			t.Fatalf("untouched: %+v", r)
		}
		// The operator has the program: a history without entry 3, numbered, chained and ended like a real one.
		exec(t, db, `DELETE FROM event_log WHERE chain = 'd_1'`, `DELETE FROM event_heads WHERE chain = 'd_1'`)
		for i := range 9 {
			e := entry("d_1")
			e.Request = fmt.Sprintf("forged %d", i)
			add(t, db, e)
		}
		r := verify(t, db, eventlog.Options{})
		if len(r.Findings) != 1 || r.Findings[0].What != eventlog.Rewritten || r.Findings[0].From != 7 {
			t.Errorf("against the heads that are kept: %+v", r.Findings)
		}
		exec(t, db, `DELETE FROM event_signatures WHERE chain = 'd_1'`)
		if r := verify(t, db, eventlog.Options{}); !r.OK() {
			t.Errorf("nothing is left to see it by, but: %+v", r.Findings)
		}
		r = verify(t, db, eventlog.Options{Device: "d_1", Heads: []string{kept}})
		if len(r.Findings) != 1 || r.Findings[0].What != eventlog.Rewritten {
			t.Errorf("against the head that was handed out: %+v", r.Findings)
		}
		exec(t, db, `DELETE FROM event_log WHERE chain = 'd_1'`, `DELETE FROM event_heads WHERE chain = 'd_1'`, `DELETE FROM devices WHERE id = 'd_1'`)
		r = verify(t, db, eventlog.Options{Heads: []string{kept}})
		if len(r.Findings) != 2 || r.Findings[1].What != eventlog.Truncated || r.Findings[1].To != 7 {
			t.Errorf("with all traces gone: %+v", r.Findings)
		}
		if _, err := eventlog.Verify(t.Context(), db, eventlog.Options{Heads: []string{kept + "x"}, Check: unsealed}); err == nil {
			t.Error("a head with a wrong signature was compared")
		}
	})
}

func TestT86AForgedSignatureIsNoHead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		history(t, db, 3)
		must(t, signer(noon).Round(t.Context(), db))
		must(t, signer(noon).Round(t.Context(), db)) // nothing has grown
		exec(t, db, `UPDATE event_signatures SET signature = 'e30.e30.AA' WHERE chain = 'd_1'`)
		r := verify(t, db, eventlog.Options{})
		if len(r.Findings) != 1 || r.Findings[0].What != eventlog.BadHead || r.Findings[0].From != 3 {
			t.Errorf("%+v", r.Findings)
		}
		var out bytes.Buffer
		must(t, r.Print(&out))
		if want := "device d_1, epoch 1, entry 3: bad signed head: signature does not hold\n5 entries in 3 chains, 2 signed heads: the event log was altered\n"; out.String() != want {
			t.Errorf("printed %q, want %q", out.String(), want)
		}
	})
}

func TestLOG5TwoWhoAppendAtOnceLeaveNoHoleAndNoFork(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		const writers, each = 4, 25
		dbs := []*store.DB{storetest.Open(t, c), storetest.Open(t, c)} // as two processes would
		register(t, dbs[0], "d_1", "o_1", "a_ada")
		errs := make(chan error, writers)
		for i := range writers {
			go func() {
				var err error
				for j := range each {
					err = errors.Join(err, dbs[i%2].Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
						e := entry("d_1")
						e.Request = fmt.Sprintf("%d/%d", i, j)
						return eventlog.Append(ctx, tx, e)
					}))
				}
				errs <- err
			}()
		}
		for range writers {
			must(t, <-errs)
		}
		r := verify(t, dbs[0], eventlog.Options{})
		if !r.OK() || r.Entries != writers*each {
			t.Errorf("%+v", r)
		}
	})
}

func TestRandomHistoriesVerifyAndWithOneByteChangedDoNot(t *testing.T) {
	text := rapid.StringN(0, 40, -1)
	action := rapid.SampledFrom([]string{string(policy.RebootUPS), string(policy.ConfigureLabel), string(policy.DiagnosticsRun), string(policy.LicenceApply)})
	names := map[string][]string{
		string(policy.RebootUPS): {"delay", "order"}, string(policy.ConfigureLabel): {"field", "old", "new"},
		string(policy.DiagnosticsRun): {"test"}, string(policy.LicenceApply): {"plan", "old"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i := range 4 {
			register(t, db, fmt.Sprintf("d_%d", i), "o_1", "a_ada")
			add(t, db, entry(fmt.Sprintf("d_%d", i)))
		}
		entries := int64(4)
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.IntRange(1, 3).Draw(t, "entries")
			err := db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
				for range n {
					e := eventlog.Entry{
						Device: rapid.SampledFrom([]string{"", "d_0", "d_1", "d_2", "d_3"}).Draw(t, "device"), Org: "o_1",
						At: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at")), Actor: "u_ada", Action: action.Draw(t, "action"),
						Role: policy.Role(text.Draw(t, "role")), Reason: policy.Reason(text.Draw(t, "reason")), Request: text.Draw(t, "request"),
						Outcome: rapid.SampledFrom(eventlog.Outcomes[:]).Draw(t, "outcome"), Params: map[string]string{},
					}
					for _, p := range names[e.Action] {
						if rapid.Bool().Draw(t, "has "+p) {
							e.Params[p] = text.Draw(t, p)
						}
					}
					if err := eventlog.Append(ctx, tx, e); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			entries += int64(n)
		})
		if r := verify(t, db, eventlog.Options{}); !r.OK() || r.Entries != entries {
			t.Fatalf("%d entries were written: %+v", entries, r)
		}
		exec(t, db, `UPDATE event_log SET request = request || ' ' WHERE chain = 'd_2' AND n = 1`)
		if r := verify(t, db, eventlog.Options{}); len(r.Findings) != 1 || r.Findings[0].Device != "d_2" || r.Findings[0].From != 1 {
			t.Errorf("%+v", r.Findings)
		}
	})
}

// An operator who knows DESIGN.md writes a row anew with the hash that fits it: what stands behind it, or the head, tells.
func TestT14ARowWrittenAnewWithItsHashIsNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		history(t, db, 5)
		rewrite := func(number int64) {
			t.Helper()
			must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				list, err := eventlog.List(ctx, tx, eventlog.View{Device: "d_1"}, eventlog.Filter{}, nil, 10)
				if err != nil {
					return err
				}
				for _, l := range list {
					if l.Number != number {
						continue
					}
					l.Outcome = eventlog.Failed
					line := l.Line("")
					hash, err := hex.DecodeString(sumOf(&line))
					if err == nil {
						_, err = tx.Exec(ctx, `UPDATE event_log SET outcome = $1, hash = $2 WHERE chain = 'd_1' AND n = $3`, l.Outcome, hash, number)
					}
					return err
				}
				return errors.New("no such entry")
			}))
		}
		for _, row := range []struct {
			number int64
			want   string
		}{
			{5, "device d_1, epoch 1, entry 5: head does not fit: the last entry is another one"},
			{2, "device d_1, epoch 1, entry 2: replaced: entry 3 was written behind another one"},
			{1, "device d_1, epoch 1, entry 1: replaced: entry 2 was written behind another one"},
		} {
			rewrite(row.number)
			found := false
			for _, f := range verify(t, db, eventlog.Options{}).Findings {
				found = found || f.String() == row.want
			}
			if !found {
				t.Errorf("entry %d: %+v", row.number, verify(t, db, eventlog.Options{}).Findings)
			}
		}
	})
}
