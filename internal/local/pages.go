package local

import (
	"context"
	"crypto/sha256"
	_ "embed" // what browsers load beside the page
	"encoding/hex"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/doors"
)

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

//go:embed icon.svg
var iconSVG string

// files are what a page loads beside itself. Their path has a sum of them all in it, so browsers keep them until there are others.
type files struct {
	version string
	all     map[string]file
}

type file struct{ kind, text string }

func (f files) path(name string) string { return "/static/" + f.version + "/" + name }

var assets = func() files {
	all := map[string]file{
		"page.css": {"text/css; charset=utf-8", pageCSS}, "page.js": {"text/javascript; charset=utf-8", pageJS}, "icon.svg": {"image/svg+xml", iconSVG},
	}
	sum := sha256.Sum256([]byte(pageCSS + pageJS + iconSVG))
	return files{hex.EncodeToString(sum[:6]), all}
}()

// pages answers browsers.
type pages struct {
	src       Sources
	host      string
	every     time.Duration // between two looks of who watches
	within    time.Duration // sendWithin
	streams   *doors.Turns  // one for each who watches
	rendering chan struct{} // and one for each page that is being made: what many ask for at once waits
	seed      maphash.Seed
}

const (
	// mostStreams watch at a time. A browser has one per tab that is in front.
	mostStreams = 16
	// eachStreams of them from one address: who takes all that they can leaves some to others.
	eachStreams = 12
	// mostRendering keeps a site of a thousand units from making sixty pages at a time.
	mostRendering = 2
	// streamFor is how long somebody is told without asking again: whoever may not any more is refused then.
	streamFor = 15 * time.Minute
	// sendWithin is how long a change may take to be taken: who does not read is let go, and nothing is kept for them.
	sendWithin = 10 * time.Second
)

func newPages(src Sources) *pages {
	host, _ := os.Hostname()
	return &pages{
		src: src, host: host, every: time.Second, within: sendWithin, streams: doors.NewTurns(mostStreams, eachStreams, 0), rendering: make(chan struct{}, mostRendering), seed: maphash.MakeSeed(),
	}
}

func (p *pages) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { p.show(w, r, view{page: pageOf(r)}) })
	mux.HandleFunc("GET /unit/{name}", func(w http.ResponseWriter, r *http.Request) { p.show(w, r, view{unit: r.PathValue("name")}) })
	mux.HandleFunc("GET /v1/live", p.live)
	mux.HandleFunc("GET /static/{version}/{name}", static)
}

func pageOf(r *http.Request) int {
	q := r.URL.Query()
	if !q.Has("page") {
		return 1
	}
	n, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		return 0
	}
	return n
}

func static(w http.ResponseWriter, r *http.Request) {
	f, ok := assets.all[r.PathValue("name")]
	if !ok || r.PathValue("version") != assets.version {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = io.WriteString(w, f.text) // the only error is a peer that has gone
}

// render waits for its turn and calls fn with what there is of a view; false: there is no such view, or whoever asked has gone.
func (p *pages) render(ctx context.Context, v view, fn func(*Status, []piece)) bool {
	select {
	case p.rendering <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-p.rendering }()
	s := p.src.Status(false)
	pieces, ok := p.pieces(&s, v)
	if ok {
		fn(&s, pieces)
	}
	return ok
}

func (p *pages) show(w http.ResponseWriter, r *http.Request, v view) {
	text := ""
	if !p.render(r.Context(), v, func(s *Status, pieces []piece) { text = p.write(s, v, pieces) }) {
		http.Error(w, "there is no such unit or page here", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, text) // as above
}

// live tells what changes in a view, as server-sent events, until whoever watches has gone, reads too slowly or has watched long enough.
// The first event is the whole view; behind it come single pieces, or the whole again where there are other ones. Nothing happens while
// nobody watches.
func (p *pages) live(w http.ResponseWriter, r *http.Request) {
	done := p.streams.Take(r)
	if done == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many watch already; reload to see what is now", http.StatusServiceUnavailable)
		return
	}
	defer done()
	v := view{unit: r.URL.Query().Get("unit"), page: pageOf(r)}
	told := watcher{pages: p, view: v, out: http.NewResponseController(w), w: w, said: map[string]uint64{}}
	_ = told.out.SetReadDeadline(time.Time{}) // nothing more is read; what was asked for lasts
	ctx, cancel := context.WithTimeout(r.Context(), streamFor)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for n := 0; told.look(ctx, n) == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// A watcher is somebody who watches a view.
type watcher struct {
	pages *pages
	view  view
	w     io.Writer
	out   *http.ResponseController

	said   map[string]uint64 // a sum of what was said last of each piece
	frame  uint64            // of the pieces there are
	silent int               // looks since something was sent
}

// errNoView says that what was watched is no more.
var errNoView = errors.New("no such view")

// beat is how many looks may pass without a word: the page knows then that it is cut off.
const beat = 4

// look sends what has changed at look n.
func (t *watcher) look(ctx context.Context, n int) error {
	var events strings.Builder
	ok := t.pages.render(ctx, t.view, func(_ *Status, pieces []piece) { t.changes(&events, n, pieces) })
	if !ok {
		if ctx.Err() == nil {
			event(&events, "gone", "")
			_ = t.send(events.String())
		}
		return errNoView
	}
	if n == 0 {
		event(&events, "assets", assets.version)
		events.WriteString("retry: 1000\n\n")
	}
	if events.Len() == 0 {
		if t.silent++; t.silent < beat {
			return nil
		}
		event(&events, "beat", "")
	}
	t.silent = 0
	return t.send(events.String())
}

func (t *watcher) changes(events *strings.Builder, n int, pieces []piece) {
	var frame maphash.Hash
	frame.SetSeed(t.pages.seed)
	for _, x := range pieces {
		frame.WriteString(x.id + "\x00")
		if x.id == "" {
			frame.WriteString(made(x))
		}
	}
	if sum := frame.Sum64(); sum != t.frame {
		t.frame = sum
		clear(t.said)
		w := &writer{}
		for _, x := range pieces {
			text := made(x)
			t.said[x.id] = maphash.String(t.pages.seed, text)
			w.WriteString(text)
		}
		event(events, "whole", w.String())
		return
	}
	for _, x := range pieces {
		if x.id == "" || n%x.every != 0 {
			continue
		}
		text := made(x)
		if sum := maphash.String(t.pages.seed, text); sum != t.said[x.id] {
			t.said[x.id] = sum
			event(events, "part", text)
		}
	}
}

func made(x piece) string {
	w := &writer{}
	x.write(w, x.id)
	return w.String()
}

// event writes a server-sent event. Its lines are told apart by the format itself, so that no text can begin another one.
func event(to *strings.Builder, name, text string) {
	to.WriteString("event: " + name + "\n")
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", " ")) {
		to.WriteString("data: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	if text == "" {
		to.WriteString("data:\n") // without one it is no event
	}
	to.WriteString("\n")
}

func (t *watcher) send(events string) error {
	if err := t.out.SetWriteDeadline(time.Now().Add(t.pages.within)); err != nil {
		return err
	}
	if _, err := io.WriteString(t.w, events); err != nil {
		return err
	}
	return t.out.Flush()
}
