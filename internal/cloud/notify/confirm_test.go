package notify

import (
	"context"
	"regexp"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

var letterForm = regexp.MustCompile(`"recipient": "(nr_\w+)", "code": "([-\w]+)"`)

// codes are those of the last letter to an address: what confirms, if it asks, and what takes off.
func (w *world) codes(to string, n int) (id string, codes []string) {
	w.Helper()
	m, err := w.sink.Wait(w.Context(), to, n)
	w.must(err)
	for _, found := range letterForm.FindAllStringSubmatch(m.Text, -1) {
		id, codes = found[1], append(codes, found[2])
	}
	return id, codes
}

var visitor = cloud.Actor{Address: "192.0.2.7", Request: "r_2"}

func TestAnotherAddressGetsNothingBeforeItHasConfirmedAndCanBeTakenOff(t *testing.T) {
	each(t, func(w *world) {
		w.mailing()
		p := w.policy(w.ada)
		r := w.recipient(w.ada, p, KindMail, "guard@example.com")
		w.alarm(ups.Raise, 0)
		w.spread()
		w.left()
		id, codes := w.codes("guard@example.com", 1)
		if len(w.sink.Mails()) != 2 || id != r.ID || len(codes) != 2 {
			t.Fatalf("%d mails, %s %q", len(w.sink.Mails()), id, codes)
		}
		if err := w.s.Confirm(t.Context(), visitor, id, codes[1]); reason(err) != policy.CodeUnknown { // what takes off does not confirm
			t.Errorf("%v", err)
		}
		if err := w.s.Confirm(t.Context(), visitor, cloud.NewID(idRecipient), codes[0]); reason(err) != policy.CodeUnknown {
			t.Errorf("%v", err)
		}
		w.must(w.s.Confirm(t.Context(), visitor, id, codes[0]))
		if err := w.s.Confirm(t.Context(), visitor, id, codes[0]); reason(err) != policy.CodeUnknown {
			t.Errorf("twice: %v", err)
		}
		w.alarm(ups.Raise, 0)
		w.spread()
		id, off := w.codes("guard@example.com", 2)
		w.left()              // and was noted as sent
		w.alarm(ups.Raise, 0) // waits when it is taken off
		if err := w.s.Leave(t.Context(), visitor, id, codes[0]); reason(err) != policy.CodeUnknown {
			t.Errorf("%v", err)
		}
		w.must(w.s.Leave(t.Context(), visitor, id, off[0]))
		w.spread()
		w.left()
		before := len(w.sink.Mails())
		ask := func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.AddRecipient(ctx, tx, w.ada, p.ID, KindMail, "Guard@Example.com")
			return err
		}
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.RemoveRecipient(ctx, tx, w.ada, p.ID, r.ID) })
		if got := w.refused(ask); got != policy.Conflict {
			t.Errorf("asked again: %q", got)
		}
		for _, m := range w.sink.Mails()[before:] {
			t.Errorf("more: %+v", m)
		}
		if n := w.count(`SELECT COUNT(*) FROM notification_deliveries WHERE recipient = $1 AND state = 'sent'`, r.ID); n != 1 {
			t.Errorf("%d were sent", n)
		}
	})
}

func TestINV12FiveWrongCodesLockAnAddress(t *testing.T) {
	each(t, func(w *world) {
		w.mailing()
		p := w.policy(w.ada)
		r := w.recipient(w.ada, p, KindMail, "guard@example.com")
		id, codes := w.codes("guard@example.com", 1)
		for range codeTries {
			if err := w.s.Confirm(t.Context(), visitor, id, "2345-6789-ABCD"); reason(err) != policy.CodeUnknown {
				t.Errorf("%v", err)
			}
		}
		if err := w.s.Confirm(t.Context(), visitor, id, codes[0]); reason(err) != policy.CodeLocked {
			t.Errorf("%v", err)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.Resend(ctx, tx, w.ada, p.ID, r.ID)
			return err
		})
		if got := w.refused(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.Resend(ctx, tx, w.ada, p.ID, r.ID)
			return err
		}); got != policy.RateLimit {
			t.Errorf("sent again at once: %q", got)
		}
		_, codes = w.codes("guard@example.com", 2)
		w.move(codeLife)
		if err := w.s.Confirm(t.Context(), visitor, id, codes[0]); reason(err) != policy.CodeExpired {
			t.Errorf("%v", err)
		}
	})
}

func TestT85NobodyIsFloodedWithLettersThatAsk(t *testing.T) {
	each(t, func(w *world) {
		refused := 0
		for range 10 {
			p := w.policy(w.ada)
			err := w.db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := w.s.AddRecipient(ctx, tx, w.ada, p.ID, KindMail, "guard@example.com")
				return err
			})
			if reason(err) == policy.RateLimit {
				refused++
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM mails WHERE recipient = 'guard@example.com'`); n != 5 || refused != 5 {
			t.Errorf("%d letters, %d refused", n, refused)
		}
		for range 25 { // and a guesser is stopped
			_ = w.s.Confirm(t.Context(), visitor, cloud.NewID(idRecipient), "2345-6789-ABCD")
		}
		if err := w.s.Confirm(t.Context(), visitor, cloud.NewID(idRecipient), "2345-6789-ABCD"); reason(err) != policy.RateLimit {
			t.Errorf("%v", err)
		}
		w.move(2 * time.Hour)
	})
}
