package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A smallDisk is a file system of 12 MiB, for a state directory, that others fill.
type smallDisk struct {
	t      *testing.T
	dir    string
	filler string
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	d := &smallDisk{t: t, dir: t.TempDir()}
	d.filler = filepath.Join(d.dir, "filler")
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// fill takes all the room there is.
func (d *smallDisk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil {
		d.t.Fatal(err)
	}
}

// readOnly mounts it so, or as before.
func (d *smallDisk) readOnly(on bool) {
	d.t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if on {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", flags, "size=12m"); err != nil {
		d.t.Fatal(err)
	}
}

// on puts the state directory of a bubble there.
func (d *smallDisk) on(b *bubble) {
	b.text = regexp.MustCompile(`state_dir: .*`).ReplaceAllString(b.text, "state_dir: "+filepath.Join(d.dir, "state"))
	b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
}

// A sheet is when rows of the live tier of a unit were read, and the gaps, as a receiver finds them.
type sheet struct {
	t       *testing.T
	schemas wire.Schemas
	at      []int64 // ms of the boot clock
	gaps    []wire.Gap
}

func (s *sheet) take(_ mqtt.Client, m mqtt.Message) {
	switch {
	case strings.HasSuffix(m.Topic(), "/samples") && !bytes.HasPrefix(m.Payload(), []byte("UPS\x02")):
		p, err := s.schemas.Decode(m.Payload())
		if err != nil {
			s.t.Error(err)
			return
		}
		for _, rows := range p.Block.Sections {
			if rows.Tier == ups.TierLive {
				s.at = append(s.at, rows.At...)
			}
		}
	case strings.HasSuffix(m.Topic(), "/events"):
		p, err := wire.DecodeEventMessage(m.Payload())
		if err != nil {
			s.t.Error(err)
		} else if p.Gap != nil {
			s.gaps = append(s.gaps, *p.Gap)
		}
	}
}

// longest is the longest time without a row.
func (s *sheet) longest() (d time.Duration) {
	slices.Sort(s.at)
	for i := 1; i < len(s.at); i++ {
		d = max(d, time.Duration(s.at[i]-s.at[i-1])*time.Millisecond)
	}
	return d
}

// TestADiskThatIsFullForTenMinutes, and read only before that, at the very first start and again later: every alarm arrives, in its order,
// no sample is missing, nothing is a gap, and nobody restarts anything (T-23).
func TestADiskThatIsFullForTenMinutes(t *testing.T) {
	d := newSmallDisk(t)
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, `- {name: rack-a, tcp: {address: "rack-a:502"}}`)
		d.t = t
		d.on(b)
		a := b.actor("rack-a", "", 1)
		s := &sheet{t: t}
		if tok := b.cloud.client.Subscribe("upsedge/v1/rack7/+", 1, func(c mqtt.Client, m mqtt.Message) {
			b.cloud.take(c, m)
			s.take(c, m)
		}); tok.Wait() && tok.Error() != nil {
			t.Fatal(tok.Error())
		}
		d.readOnly(true)
		b.start()
		ten := func() {
			t.Helper()
			lines := strings.Count(b.log.String(), `msg="the disk refuses`)
			a.do("2m mains-fail 2m mains-return 2m battery-bad self-test 1m battery-good self-test 3m")
			if n := strings.Count(b.log.String(), `msg="the disk refuses`) - lines; n > 1 {
				t.Errorf("said %d times that the disk refuses", n)
			}
		}
		ten()
		if !b.scrape()[`ups_up{ups="rack-a"} 1`] {
			t.Error("the unit is not shown while the disk is full")
		}
		d.readOnly(false)
		d.fill()
		a.do("10m")
		if n := len(b.cloud.events()); n > 0 {
			t.Errorf("%d events arrived without a database", n)
		}
		d.free()
		a.do("1m")
		told := []string{"raise 101", "clear 101", "raise 504", "clear 504"}
		check := func(when string, times int) {
			t.Helper()
			for _, w := range told {
				n := 0
				for _, e := range a.events() {
					if strings.HasPrefix(e.String(), w+" ") {
						n++
					}
				}
				if n != times {
					t.Errorf("%s: %s came %d times, want %d", when, w, n, times)
				}
			}
			if len(s.gaps) > 0 {
				t.Errorf("%s: gaps %+v", when, s.gaps)
			}
		}
		check("after the first time", 1)
		d.fill()
		ten()
		d.free()
		a.do("1m")
		check("after the second", 2)
		b.stop()
		if n := s.longest(); len(s.at) < 3000 || n > 3*time.Second {
			t.Errorf("%d rows, %v without one", len(s.at), n)
		}
		own := b.cloud.of("")
		if !slices.ContainsFunc(own, func(n notice) bool { return n.Kind == "raise" && n.ID == 832 }) {
			t.Errorf("832 was not raised: %v", own)
		}
	})
}

// TestAStateDirectoryThatIsDeletedIsBegunAnew: while the agent runs, which polls on; the new stream says that of the old one something
// may be missing, and what is active is raised in it, too.
func TestAStateDirectoryThatIsDeletedIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, `- {name: rack-a, tcp: {address: "rack-a:502"}}`)
		dir := filepath.Join(t.TempDir(), "state")
		b.text = regexp.MustCompile(`state_dir: .*`).ReplaceAllString(b.text, "state_dir: "+dir)
		b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
		a := b.actor("rack-a", "", 1)
		b.start()
		a.do("1m battery-bad self-test 1m")
		before, ok := a.await("raise", 504, time.Minute)
		if !ok {
			t.Fatal("no 504")
		}
		if err := os.Rename(dir, dir+".gone"); err != nil { // at once: the agent writes while one file after the other is removed
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir + ".gone"); err != nil {
			t.Fatal(err)
		}
		a.do("1m battery-good self-test 1m")
		var told []string
		for _, n := range a.events() {
			if n.Stream != before.Stream && n.ID == 504 {
				told = append(told, n.Kind)
			}
		}
		if !slices.Equal(told, []string{"raise", "clear"}) {
			t.Errorf("in the new stream 504 came as %v, want raise and clear", told)
		}
		if n := strings.Count(b.log.String(), "the database broke"); n != 1 {
			t.Errorf("said %d times that the database broke", n)
		}
		b.stop()
	})
}
