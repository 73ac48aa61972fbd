package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/local"
	"upsedge/internal/testenv/browser"
)

// Screenshots is the environment variable that names a directory for pictures of the page in each state; it also makes the units' days
// longer, so that there is something to be seen.
const screenshots = "UPSEDGE_SCREENSHOTS"

// A scene is a state of a site as its agent shows it.
type scene struct {
	name, units string
	before      string // what the unit does in a long day
	does        string // and then
	cut         bool   // the link
	want        []string
	not         []string
}

var scenes = []scene{
	{
		name: "well", units: `- {name: rack-a, serial: {device: /dev/ttyUSB0}}`, before: "19m mains-fail 3m mains-return 40m", does: "2m",
		want: []string{"All is well", "On mains for", "Battery would last about", "no errors"}, not: []string{"What to do"},
	},
	{
		name: "battery", units: `- {name: rack-a, serial: {device: /dev/ttyUSB0}}`, before: "30m", does: "2m mains-fail 4m",
		want: []string{"Not all is well – rack-a: UPS on battery", "On battery for 3 min 5", "Battery lasts about", "What to do: find out why the mains are gone"}, not: []string{"All is well"},
	},
	{
		name: "lost", units: `- {name: rack-a, serial: {device: /dev/ttyUSB0}}`, before: "30m", does: "2m deaf 4m",
		want: []string{"Not all is well – rack-a: does not answer", "No answer for 3 min 5", "last read: ", "The values below are old", "Nothing answers on the serial port", "Load (old)", "Warning: Communication with the UPS lost"},
		not:  []string{"All is well", "On mains"},
	},
	{name: "new", units: "", want: []string{"No UPS is set up yet", "sudo upsagent setup"}, not: []string{"All is well"}},
	{
		name: "link", units: `- {name: rack-a, serial: {device: /dev/ttyUSB0}}`, before: "30m", does: "5m", cut: true,
		want: []string{"Not all is well – this box: cloud link lost", "not connected for", "What to do: check the network of this box", "On mains for"}, not: []string{"All is well"},
	},
}

// play lets a scene happen to a whole agent and returns what it shows at the end.
func (s *scene) play(t *testing.T, long bool) (out local.Status, units map[string]local.Unit, spans map[string][]local.Span) {
	units, spans = map[string]local.Unit{}, map[string][]local.Span{}
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, s.units)
		b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
		if s.units == "" {
			b.text = strings.Replace(b.text, "units:", "", 1)
		}
		var a *actor
		if s.units != "" {
			a = b.actor("rack-a", "", 1)
		}
		b.start()
		if a != nil && long {
			a.do(s.before)
		}
		if s.cut {
			b.way.cut(true)
		}
		if a != nil {
			a.do(s.does)
		}
		out = b.shown.Status(true)
		for _, u := range out.Units {
			units[u.Name], spans[u.Name], _ = b.shown.Unit(u.Name)
		}
	})
	return out, units, spans
}

// TestThePageInEachState: what a real agent knows of a simulated unit is what its page says, in a browser, wide and narrow, dark and light.
func TestThePageInEachState(t *testing.T) {
	dir := os.Getenv(screenshots)
	tab := browser.Open(t)
	for _, s := range scenes {
		status, units, spans := s.play(t, dir != "")
		address := shownAt(t, local.Sources{
			Status: func(bool) local.Status { return status },
			Unit: func(name string) (local.Unit, []local.Span, bool) {
				u, ok := units[name]
				return u, spans[name], ok
			},
		})
		for _, look := range []struct {
			name string
			wide int64
			dark bool
		}{{"light", 1280, false}, {"dark", 1280, true}, {"360-light", 360, false}, {"360-dark", 360, true}} {
			tab.Look(look.wide, 800, look.dark)
			tab.Go("http://" + address + "/")
			if over := browser.Eval[int](tab, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
				t.Errorf("%s, %s: %d pixels stand over the window", s.name, look.name, over)
			}
			if dir != "" {
				tab.Shoot(filepath.Join(dir, s.name+"-"+look.name+".png"))
			}
		}
		if dir != "" {
			browser.Eval[bool](tab, "document.querySelectorAll('details').forEach((d) => { d.open = true; }), true")
			tab.Shoot(filepath.Join(dir, s.name+"-360-unfolded.png"))
			tab.Look(1280, 800, false)
			tab.Shoot(filepath.Join(dir, s.name+"-unfolded.png"))
		}
		text := browser.Eval[string](tab, "document.body.innerText")
		for _, want := range s.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it does not say %q:\n%s", s.name, want, text)
			}
		}
		for _, not := range s.not {
			if strings.Contains(text, not) {
				t.Errorf("%s: it says %q", s.name, not)
			}
		}
		if said := tab.Said(); len(said) > 0 {
			t.Errorf("%s: the browser complains: %q", s.name, said)
		}
	}
}

// shownAt serves a page until the test ends.
func shownAt(t *testing.T, src local.Sources) string {
	t.Helper()
	server, err := local.Listen(local.Ways{Address: "127.0.0.1:0"}, src)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Error("the page does not end")
		}
	})
	return server.Addrs()[0]
}
