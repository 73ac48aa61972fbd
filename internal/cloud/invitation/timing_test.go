package invitation

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestSoakINV13TimeTellsNobodyWhetherThereIsAnInvitation compares how long wrong codes take where an invitation of five devices is open, where there is
// none, and where the code is one that is meant for somebody else: 1000 of each, one of each at a time. Who can tell them apart by their
// ranks learns what the answer does not tell.
func TestSoakINV13TimeTellsNobodyWhetherThereIsAnInvitation(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("takes ten minutes and a machine that does nothing else: make soak")
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.Pause = DefaultPause
		mia, devices := w.person("mia"), make([]string, device.MaxShares)
		for n := range devices {
			devices[n] = w.device(w.ada, fmt.Sprint("rack", n))
		}
		w.invited(w.ada, "bob@example.com", devices...)
		_, others := w.invited(w.ada, "guest@example.com", devices...)
		kinds := []struct {
			name string
			who  cloud.Actor
			code string
		}{{"an invitation is open", w.bob, wrong}, {"there is none", w.eve, wrong}, {"it is somebody else's", mia, others}}
		took := make([][]float64, len(kinds))
		for n := range 1000 {
			w.exec(`DELETE FROM limits`)
			w.exec(`UPDATE device_invitations SET tries = 0`)
			got := atOnce(len(kinds), func(i int) error {
				k := (i + n) % len(kinds)
				who := kinds[k].who
				who.Address = fmt.Sprint("192.0.2.", k)
				begun := time.Now()
				_, err := w.accept(who, kinds[k].code)
				took[k] = append(took[k], time.Since(begun).Seconds()*1e3)
				return err
			})
			if got[policy.CodeUnknown] != len(kinds) {
				t.Fatal(got)
			}
		}
		for k := 1; k < len(kinds); k++ {
			z := ranks(took[0], took[k])
			t.Logf("median %.2f ms where %s, %.2f ms where %s, z %.1f", median(took[0]), kinds[0].name, median(took[k]), kinds[k].name, z)
			if math.Abs(z) > 4 { // by chance once in 16,000
				t.Error("the time tells")
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
