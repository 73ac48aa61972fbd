package cloud

import (
	"errors"
	"testing"

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
