package local

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"upsedge/internal/testenv/browser"
	"upsedge/internal/ups"
)

// A stage is a page whose status a test changes.
type stage struct {
	address string
	sources Sources
	stop    func()

	mu sync.Mutex
	s  Status
}

func newStage(t *testing.T, s Status) *stage {
	t.Helper()
	st := &stage{s: s}
	st.sources = Sources{
		Status: func(bool) Status {
			st.mu.Lock()
			defer st.mu.Unlock()
			out := st.s
			out.Units = slices.Clone(out.Units)
			return out
		},
		Unit: func(name string) (Unit, []Span, bool) {
			st.mu.Lock()
			defer st.mu.Unlock()
			i := slices.IndexFunc(st.s.Units, func(u Unit) bool { return u.Name == name })
			if i < 0 {
				return Unit{}, nil, false
			}
			u := st.s.Units[i]
			u.Values = Values(someState())
			return u, testSpans(), true
		},
	}
	st.serve(t, "127.0.0.1:0")
	return st
}

func (st *stage) serve(t *testing.T, address string) {
	t.Helper()
	server, err := Listen(Ways{Address: address}, st.sources)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	st.address = server.Addrs()[0]
	st.stop = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(st.stop)
}

func (st *stage) change(how func(*Status)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	units := slices.Clone(st.s.Units) // what was handed out stays
	st.s.Units = units
	how(&st.s)
}

func oneUnit() Status {
	s := many(1)
	s.Units[0].Name, s.Units[0].Line, s.Units[0].Condition, s.Units[0].Alarms = "rack-a", "rack-a", []string{"online"}, nil
	s.Lines[0].Name = "rack-a"
	volts := 230.5
	s.Units[0].Now.InputVoltage = &volts
	return s
}

// focused names what has the focus.
const focused = `(document.activeElement.id || document.activeElement.parentElement.id || document.activeElement.textContent.trim())`

// TestThePageIsRenewedInPlace: what changes arrives without a reload, and whoever reads keeps the place, what is unfolded and the focus.
func TestThePageIsRenewedInPlace(t *testing.T) {
	st := newStage(t, oneUnit())
	tab := browser.Open(t)
	tab.Look(360, 640, false)
	tab.Go("http://" + st.address + "/")
	tab.Await(`document.body.innerText.includes("All is well")`)
	browser.Eval[bool](tab, `document.querySelector("#unit-rack-a_values summary").focus(), window.kept = document.getElementById("unit-rack-a_now"), true`)
	tab.Keys("\r")
	tab.Await(`document.getElementById("unit-rack-a_values_all").open`)
	browser.Eval[bool](tab, `scrollTo(0, 900), true`)
	tab.Await(`scrollY > 800`)
	browser.Eval[bool](tab, `window.was = scrollY, true`)
	st.change(func(s *Status) {
		u, volts := &s.Units[0], 0.0
		u.Condition, u.Now.InputVoltage = []string{"on_battery"}, &volts
		u.Alarms = []Alarm{{ID: 101, Severity: "warning", Text: "UPS on battery", Do: ups.AlarmByID(101).Do}}
	})
	tab.Await(`document.getElementById("headline").innerText.includes("rack-a: UPS on battery")`)
	tab.Await(`document.getElementById("unit-rack-a_now").innerText.includes("On battery for")`)
	for what, is := range map[string]string{
		"the page was not loaded anew":      `window.kept === document.getElementById("unit-rack-a_now")`,
		"what was unfolded is":              `document.getElementById("unit-rack-a_values_all").open`,
		"what had the focus has it":         focused + ` === "unit-rack-a_values_all"`,
		"the title says it":                 `document.title.startsWith("rack-a: UPS on battery")`,
		"what was read is where it was":     `Math.abs(document.activeElement.getBoundingClientRect().top) < 2000 && scrollY > 0`,
		"alarms say what to do":             `document.body.innerText.includes("What to do: find out")`,
		"the first line is told when it is": `document.getElementById("headline").getAttribute("aria-live") === "polite"`,
	} {
		if !browser.Eval[bool](tab, is) {
			t.Errorf("not so: %s", what)
		}
	}
	// Another unit comes: the page has it, and what was unfolded stays.
	st.change(func(s *Status) {
		u := s.Units[0]
		u.Name = "rack-b"
		s.Units = append(s.Units, u)
	})
	tab.Await(`!!document.getElementById("unit-rack-b")`)
	if !browser.Eval[bool](tab, `document.getElementById("unit-rack-a_values_all").open && window.kept === document.getElementById("unit-rack-a_now")`) {
		t.Error("another unit folded up what was open")
	}
	if said := tab.Said(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
	for _, url := range tab.Asked() {
		if !strings.HasPrefix(url, "http://"+st.address+"/") {
			t.Errorf("it asked for %s", url)
		}
	}
	cutOff(t, st, tab)
}

// cutOff ends the agent and lets it come back.
func cutOff(t *testing.T, st *stage, tab *browser.Tab) {
	address := st.address
	st.stop()
	tab.Await(`document.getElementById("cut").innerText.includes("What is shown here is old")`)
	st.serve(t, address)
	tab.Await(`document.getElementById("cut").innerText === ""`)
	tab.Said() // that it could not connect is no fault of the page
}

// contrast returns texts whose contrast is below what WCAG 2.2 asks for at level AA.
const contrast = `(() => {
  const rgb = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = (c) => { const [r, g, b] = rgb(c).map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] !== 0) return c; } return "rgb(255, 255, 255)"; };
  const low = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), svg = e.namespaceURI.endsWith("svg");
    const a = light(svg ? style.fill : style.color), b = light(behind(e));
    const big = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    seen++;
    if (ratio < (big ? 3 : 4.5)) low.push(walk.currentNode.data.trim().slice(0, 40) + " " + ratio.toFixed(2));
  }
  return seen < 20 ? ["only " + seen + " texts"] : low;
})()`

// TestThePageIsForEverybody: by keyboard alone, read aloud, dark, light and narrow, with scripts and without.
func TestThePageIsForEverybody(t *testing.T) {
	s := oneUnit()
	s.Units[0].Alarms = []Alarm{{ID: 201, Severity: "critical", Text: "Low battery", Do: "shut the load down now"}, {ID: 514, Severity: "informational", Text: "Audible alarm sounding"}}
	s.Units[0].Rates = []Rate{{Tier: "watch", Wanted: 5}}
	s.Orders = orderStatus().Orders
	st := newStage(t, s)
	tab := browser.Open(t)
	for _, dark := range []bool{false, true} {
		tab.Look(360, 640, dark)
		tab.Go("http://" + st.address + "/")
		if over := browser.Eval[int](tab, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%d pixels stand over a window of 360", over)
		}
		browser.Eval[bool](tab, `document.querySelectorAll("details").forEach((d) => { d.open = true; }), true`)
		if low := browser.Eval[[]string](tab, contrast); len(low) > 0 {
			t.Errorf("dark %v: hard to read: %q", dark, low)
		}
		if over := browser.Eval[int](tab, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("unfolded, %d pixels stand over a window of 360", over)
		}
	}
	keyboard(t, tab)
	aloud(t, tab.Heard())
	if strings.Contains(pageCSS, "animation") || strings.Contains(pageCSS, "transition") {
		t.Error("something moves, also for who asked that nothing does")
	}
	if said := tab.Said(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
	tab.Scripts(false)
	tab.Go("http://" + st.address + "/")
	if code, body := ask(t, "http://"+st.address+"/", ""); code != http.StatusOK || !strings.Contains(body, `<noscript><meta http-equiv="refresh"`) {
		t.Error("without scripts nothing renews it")
	}
}

// keyboard holds that the tabulator reaches all that can be used, in the order of the page.
func keyboard(t *testing.T, tab *browser.Tab) {
	t.Helper()
	want := browser.Eval[[]string](tab, `[...document.querySelectorAll("a[href], summary")].map((e) => e.textContent.trim())`)
	browser.Eval[bool](tab, `document.activeElement.blur(), scrollTo(0, 0), true`)
	var got []string
	for range want {
		tab.Keys("\t")
		got = append(got, browser.Eval[string](tab, `document.activeElement.textContent.trim()`))
		if ring := browser.Eval[string](tab, `getComputedStyle(document.activeElement).outlineStyle`); ring != "solid" {
			t.Errorf("the focus is not to be seen: %s", ring)
		}
	}
	if len(want) < 5 || !slices.Equal(got, want) {
		t.Errorf("the tabulator reaches %q, want %q", got, want)
	}
}

// aloud holds what somebody hears who does not see.
func aloud(t *testing.T, heard []browser.Element) {
	t.Helper()
	names := map[string][]string{}
	for _, e := range heard {
		names[e.Role] = append(names[e.Role], e.Name)
		switch e.Role {
		case "image", "link", "heading", "region", "DisclosureTriangle", "columnheader", "rowheader":
			if e.Name == "" {
				t.Errorf("a %s without a name", e.Role)
			}
		}
	}
	for role, least := range map[string]int{"main": 1, "banner": 1, "contentinfo": 1, "status": 1, "heading": 5, "image": 5, "table": 2, "columnheader": 6, "rowheader": 5, "region": 3} {
		if len(names[role]) < least {
			t.Errorf("%d of %s, want %d: %q", len(names[role]), role, least, names[role])
		}
	}
	for _, name := range names["image"] {
		if !strings.Contains(name, "lowest") || !strings.Contains(name, "on battery for up to") {
			t.Errorf("a plot says %q", name)
		}
	}
	if !slices.Contains(names["heading"], "Act now – rack-a: low battery") {
		t.Errorf("headings %q", names["heading"])
	}
}

// TestT63AForeignPageReachesNothing: in a real browser, from another origin and under a name that was pointed here.
func TestT63AForeignPageReachesNothing(t *testing.T) {
	st := newStage(t, oneUnit())
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>foreign</title><p>foreign"))
	}))
	defer foreign.Close()
	tab := browser.Open(t, "--host-resolver-rules=MAP evil.example 127.0.0.1")
	ours := "http://" + st.address
	_, port, _ := net.SplitHostPort(st.address)
	for _, from := range []string{foreign.URL, strings.Replace(foreign.URL, "127.0.0.1", "evil.example", 1)} {
		tab.Go(from)
		for what, try := range map[string]string{
			"fetch":            `fetch("` + ours + `/v1/status").then((r) => "" + r.status, () => "refused")`,
			"fetch, not read":  `fetch("` + ours + `/v1/status", {mode: "no-cors"}).then((r) => "" + r.status, () => "refused")`,
			"events":           `new Promise((done) => { const e = new EventSource("` + ours + `/v1/live"); e.onopen = () => done("open"); e.onerror = () => { e.close(); done("refused"); }; })`,
			"a script of ours": `new Promise((done) => { const e = document.createElement("script"); e.src = "` + ours + assets.path("page.js") + `"; e.onload = () => done("loaded"); e.onerror = () => done("refused"); document.head.append(e); })`,
			"a frame":          `new Promise((done) => { const e = document.createElement("iframe"); e.src = "` + ours + `/"; e.onload = () => { try { done(e.contentDocument ? "read" : "refused"); } catch { done("refused"); } }; document.body.append(e); })`,
		} {
			if got := browser.Eval[string](tab, try); got != "refused" {
				t.Errorf("%s from %s: %s", what, from, got)
			}
		}
		if n := browser.Eval[int](tab, `window.length`); n != 1 {
			t.Errorf("%d frames", n)
		}
	}
	tab.Go("http://evil.example:" + port + "/")
	if text := browser.Eval[string](tab, `document.body.innerText`); !strings.Contains(text, "ask for this page by address") {
		t.Errorf("under another name it says %q", text)
	}
	tab.Said()
	// And what got into the page all the same would do nothing.
	tab.Go(ours + "/")
	for what, try := range map[string]string{
		"a script":  `(() => { const e = document.createElement("script"); e.textContent = "window.evil = 1"; document.body.append(e); })()`,
		"a handler": `document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.evil = 1'>")`,
		"a style":   `document.body.insertAdjacentHTML("beforeend", "<p style='color: red' id=styled>x</p>")`,
		"a request": `fetch("` + foreign.URL + `").then(() => { window.evil = 1; }, () => {})`,
	} {
		violated := browser.Eval[string](tab, `new Promise((done) => { document.addEventListener("securitypolicyviolation", (e) => done(e.effectiveDirective), {once: true}); setTimeout(() => done("nothing"), 5000); `+try+`; })`)
		if violated == "nothing" || browser.Eval[bool](tab, `"evil" in window`) {
			t.Errorf("%s: %s was violated", what, violated)
		}
	}
}
