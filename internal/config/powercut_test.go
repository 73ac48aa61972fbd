package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// A power cut while units are appended leaves a configuration that works, with every unit whose call had returned (T-20).
func TestAPowerCutLeavesTheOldFileOrTheNewOne(t *testing.T) {
	for _, fs := range testenv.Filesystems {
		t.Run(fs, func(t *testing.T) {
			d := testenv.NewDisk(t, fs)
			r := rand.New(rand.NewPCG(5, 5))
			path := filepath.Join(d.Dir, "agent.yaml")
			number, kept := 0, 0
			for cut := range 12 {
				var appended atomic.Int64
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for {
						number++
						u := Unit{Name: fmt.Sprintf("rack-%d", number), UnitID: 1, TCP: &TCP{Address: fmt.Sprintf("192.0.2.1:%d", 1000+number)}}
						if AppendUnits(path, []Unit{u}) != nil {
							return
						}
						appended.Store(int64(number))
					}
				}()
				time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond) // the instant of the cut is the input of the test
				sure := max(kept, int(appended.Load()))
				d.Cut(testenv.CutHard)
				<-ended
				d.PowerUp()
				number--

				text, err := os.ReadFile(path)
				if os.IsNotExist(err) && sure == 0 {
					number = 0
					continue
				}
				if err != nil {
					t.Fatalf("cut %d: %v", cut, err)
				}
				c, err := Parse(path, text)
				if err != nil {
					t.Fatalf("cut %d: %v\n%s", cut, err, text)
				}
				kept = len(c.Units)
				if kept < sure || kept > number+1 || kept > 0 && c.Units[kept-1].Name != fmt.Sprintf("rack-%d", kept) {
					t.Fatalf("cut %d: %d units, %d were appended for certain and %d tried", cut, kept, sure, number+1)
				}
				number = kept
			}
			t.Logf("12 cuts, %d units", kept)
			if kept == 0 {
				t.Error("nothing was ever appended")
			}
		})
	}
}
