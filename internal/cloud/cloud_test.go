package cloud

import (
	"errors"
	"testing"
	"time"

	"upsedge/internal/policy"
)

func TestIDsAreOpaqueAndTellTheirKind(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID("d_")
		if seen[id] || !CheckID("d_", id) || CheckID("a_", id) {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	for _, bad := range []string{"", "d_", "d_0", "d_0123456789abcdefghjkmnpqri", "x" + NewID("d_")} {
		if CheckID("d_", bad) {
			t.Errorf("%q was taken for an id", bad)
		}
	}
}

func TestRefusalsSayWhatAndWhy(t *testing.T) {
	err := RefuseField(policy.EmailInvalid, "email", "%q is not an address", "x")
	var e *Error
	if !errors.As(err, &e) || e.Reason != policy.EmailInvalid || err.Error() != `EMAIL_INVALID (email): "x" is not an address` {
		t.Errorf("%v", err)
	}
}

func TestT07AFactorThatIsNotFreshIsAskedForAgain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		actor Actor
		fresh bool
	}{
		"no factor set up":      {Actor{}, true},
		"set up, never given":   {Actor{HasFactor: true}, false},
		"given just now":        {Actor{HasFactor: true, MFA: true, FactorAt: now}, true},
		"given ten minutes ago": {Actor{HasFactor: true, MFA: true, FactorAt: now.Add(-FactorLife)}, true},
		"given before that":     {Actor{HasFactor: true, MFA: true, FactorAt: now.Add(-FactorLife - 1)}, false},
	} {
		var e *Error
		err := row.actor.StepUp(now)
		if (err == nil) != row.fresh || !row.fresh && (!errors.As(err, &e) || e.Reason != policy.StepUpRequired) {
			t.Errorf("%s: StepUp = %v, fresh %v", name, err, row.fresh)
		}
	}
}
