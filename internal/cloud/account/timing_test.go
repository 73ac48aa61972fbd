package account

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestSoakTimeTellsNobodyWhoHasAnAccount compares how long an address with an account and one without take, in turn, at the cost of
// real passwords: sign-in with a wrong password, sign-up, reset. A guesser who can tell 600 answers of each kind from each other by their
// ranks can tell accounts from none.
func TestSoakTimeTellsNobodyWhoHasAnAccount(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("takes a minute and a machine that does nothing else: make soak")
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.member("known@example.com")
		w.hasher = newHasher(DefaultHashCost)
		if _, err := w.SignIn(t.Context(), here, Credentials{Email: "known@example.com", Password: good}, ""); err != nil { // the hash gets the cost of now
			t.Fatal(err)
		}
		w.write(clearMails)
		ctx := t.Context()
		for name, ask := range map[string]func(email string) error{
			"sign-in": func(email string) error {
				if err := w.try(here, email, "wrong "+good, ""); reasonOf(err) != policy.Unauthenticated {
					return err
				}
				return nil
			},
			"sign-up": func(email string) error { _, err := w.SignUp(ctx, here, person(email)); return err },
			"reset":   func(email string) error { _, err := w.StartReset(ctx, here, email); return err },
		} {
			known, unknown := make([]float64, 600), make([]float64, 600)
			for i := range known {
				w.move(24 * time.Hour) // no limit is reached
				took := func(email string) float64 {
					begun := time.Now()
					if err := ask(email); err != nil {
						t.Fatal(err)
					}
					return time.Since(begun).Seconds() * 1e3
				}
				if i%2 == 0 {
					known[i], unknown[i] = took("known@example.com"), took("nobody@example.com")
				} else {
					unknown[i], known[i] = took("nobody@example.com"), took("known@example.com")
				}
			}
			z := ranks(known, unknown)
			t.Logf("%s: median %.2f ms where there is an account, %.2f ms where there is none, z %.1f", name, median(known), median(unknown), z)
			if math.Abs(z) > 4 { // by chance once in 16,000
				t.Errorf("%s: the time tells", name)
			}
		}
	})
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// ranks is how many standard deviations the ranks of a lie from where chance would put them beside b (Mann and Whitney).
func ranks(a, b []float64) float64 {
	all := slices.Sorted(slices.Values(append(slices.Clone(a), b...)))
	var sum float64
	for _, v := range a {
		n, _ := slices.BinarySearch(all, v)
		sum += float64(n + 1)
	}
	n, m := float64(len(a)), float64(len(b))
	u := sum - n*(n+1)/2
	return (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}
