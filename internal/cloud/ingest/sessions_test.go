package ingest

import (
	"context"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// online reports what the table says of an agent.
func online(t testing.TB, r *Receiver, b *box) (session uint64, up bool) {
	t.Helper()
	a, err := r.Reader().Agent(t.Context(), b.name)
	must(t, err)
	return a.Session, a.Online
}

func wantSession(t testing.TB, r *Receiver, b *box, session uint64, up bool) {
	t.Helper()
	if s, on := online(t, r, b); s != session || on != up {
		t.Errorf("session %d, online %v; want %d, %v", s, on, session, up)
	}
}

func TestAWillCountsOnlyForItsSession(t *testing.T) { both(t, testAWillCountsOnlyForItsSession) }

func testAWillCountsOnlyForItsSession(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.first(5, 1), b.full(5, 1), b.first(6, 2))
	wantSession(t, r, b, 6, true)
	take(t, r, b.will(5))
	wantSession(t, r, b, 6, true)
	take(t, r, b.will(6))
	wantSession(t, r, b, 6, false)
	take(t, r, b.first(5, 1)) // an old message, once more
	wantSession(t, r, b, 6, false)
	take(t, r, b.full(6, 2)) // and this one
	wantSession(t, r, b, 6, false)
	take(t, r, b.first(7, 3))
	wantSession(t, r, b, 7, true)
	wantTold(t, r)
}

func TestASessionIsToldTheMarks(t *testing.T) { both(t, testASessionIsToldTheMarks) }

func testASessionIsToldTheMarks(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	wantMarks(t, take(t, r, b.first(5, 1)))
	take(t, r, b.publish(b.alarm(1, "one")), b.publish(b.block(1, 0, 1)))
	wantMarks(t, take(t, r, b.full(5, 1)), "rack7 events 1", "rack7 samples 1")
	wantMarks(t, take(t, r, b.full(5, 1))) // a heartbeat
	wantMarks(t, take(t, r, b.first(6, 2)), "rack7 events 1", "rack7 samples 1")
	wantMarks(t, take(t, r, b.full(6, 2)), "rack7 events 1", "rack7 samples 1")
	b.stream = wire.ID{42}
	wantMarks(t, take(t, r, b.full(7, 3)), "rack7 events 0", "rack7 samples 0")
}

// A session renews its nonce, and each is answered.
func TestARenewedNonceIsAnsweredAndIsNoSecondAgent(t *testing.T) {
	both(t, testARenewedNonceIsAnsweredAndIsNoSecondAgent)
}

func testARenewedNonceIsAnsweredAndIsNoSecondAgent(t *testing.T) {
	var asked []wire.ID
	o := Options{Statement: func(_ context.Context, _ *store.Tx, agent string, nonce wire.ID, _ time.Time) ([]byte, error) {
		asked = append(asked, nonce)
		return []byte("signed"), nil
	}}
	r, b := opened(t, config(t), o), newBox(t, "rack7")
	answers := take(t, r, b.first(5, 1))
	if len(answers) != 1 || answers[0].Topic != "upsedge/v1/rack7/orders" || string(answers[0].Payload) != "signed" {
		t.Errorf("answers %+v", answers)
	}
	take(t, r, b.full(5, 1))
	wantMarks(t, take(t, r, b.first(5, 2)), "rack7 events 0", "rack7 samples 0")
	take(t, r, b.full(5, 2), b.full(5, 2))
	if want := []wire.ID{{1}, {2}}; !slices.Equal(asked, want) {
		t.Errorf("statements for %v, want %v", asked, want)
	}
	take(t, r, b.first(5, 1)) // an old one, once more
	if len(asked) != 2 {
		t.Errorf("%d statements, want none for an old nonce", len(asked))
	}
	take(t, r, b.first(5, 2)) // the answer may not have arrived
	if len(asked) != 3 {
		t.Errorf("%d statements, want another one for the current nonce", len(asked))
	}
	wantTold(t, r)
}

// Two boxes with one name take the connection from each other, and may count alike.
func TestASessionThatGoesOnBehindItsWillIsASecondAgent(t *testing.T) {
	both(t, testASessionThatGoesOnBehindItsWillIsASecondAgent)
}

func testASessionThatGoesOnBehindItsWillIsASecondAgent(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.first(5, 1), b.will(5), b.full(5, 1)) // an old message, once more
	wantTold(t, r)
	take(t, r, b.first(5, 2))
	wantTold(t, r, "rack7 identity.second_session 1")
	wantSession(t, r, b, 5, true)
}

func TestSessionsThatAlternateAreTwoCopies(t *testing.T) {
	both(t, testSessionsThatAlternateAreTwoCopies)
}

func testSessionsThatAlternateAreTwoCopies(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.first(3<<20+1, 1), b.full(3<<20+1, 1), b.publish(b.alarm(1, "one")))
	take(t, r, b.first(4<<20+1, 2), b.full(4<<20+1, 2))
	wantTold(t, r)
	take(t, r, b.first(3<<20+2, 3), b.full(3<<20+2, 3))
	wantTold(t, r, "rack7 identity.clone_suspected 1")
}

// An agent that has lost its database counts its sessions from the start, in a new stream.
func TestASessionOfALowerNumberWithANewStreamIsNoCopy(t *testing.T) {
	both(t, testASessionOfALowerNumberWithANewStreamIsNoCopy)
}

func testASessionOfALowerNumberWithANewStreamIsNoCopy(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.first(3<<20+1, 1), b.full(3<<20+1, 1), b.publish(b.alarm(1, "one")))
	b.stream = wire.ID{42}
	take(t, r, b.first(1<<20+1, 2), b.full(1<<20+1, 2), b.publish(b.alarm(1, "first of the new one")))
	wantTold(t, r)
	wantSession(t, r, b, 1<<20+1, true)
}

// A broker that has forgotten may hand out a state that is older than the ones we know.
func TestARetainedStateOfAnOlderSessionIsIgnored(t *testing.T) {
	both(t, testARetainedStateOfAnOlderSessionIsIgnored)
}

func testARetainedStateOfAnOlderSessionIsIgnored(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.first(6, 2))
	old := b.first(4, 9)
	old.Retained = true
	take(t, r, old)
	wantSession(t, r, b, 6, true)
	wantTold(t, r)
}

func TestSessionsRememberedAreBounded(t *testing.T) { both(t, testSessionsRememberedAreBounded) }

func testSessionsRememberedAreBounded(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	var messages []Message
	for n := range uint64(maxSessions + 50) {
		messages = append(messages, b.first(n+1, byte(n)))
	}
	take(t, r, messages...)
	var n int
	must(t, r.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM agent_sessions`).Scan(&n)
	}))
	if n != maxSessions {
		t.Errorf("%d sessions remembered, want %d", n, maxSessions)
	}
}
