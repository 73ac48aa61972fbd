// Package browser looks at pages as people do, in Chromium (testenv.Chromium), and keeps what the browser complained of and what it asked
// for. It is apart from package testenv so that only tests which look at a page compile the browser's protocol. For tests only.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"

	"upsedge/internal/testenv"
)

// Within is how long a page may take for anything that is waited for.
const Within = 30 * time.Second

// A Tab is one tab of a browser of its own. Its methods are for one goroutine.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu    sync.Mutex
	said  []string
	asked []string
}

// Open starts a browser with one empty tab; both are gone when the test ends. flags are as testenv.Chromium's.
func Open(t testing.TB, flags ...string) *Tab {
	t.Helper()
	b := &Tab{t: t}
	ctx, end := remote.NewAllocator(t.Context(), testenv.Chromium(t, flags...), remote.NoModifyURL)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(end)
	b.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return b
}

// hear notes what the browser says of the page.
func (b *Tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, fmt.Sprintf("exception: %+v", e.ExceptionDetails.Text))
	case *runtime.EventConsoleAPICalled:
		b.said = append(b.said, fmt.Sprintf("console.%v", e.Type))
	case *log.EventEntryAdded:
		b.said = append(b.said, fmt.Sprintf("%v: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	}
}

// Said are errors, warnings and all else of the console, since the last call.
func (b *Tab) Said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.said
	b.said = nil
	return out
}

// Asked are the addresses that were asked for, by the page and by what it loads.
func (b *Tab) Asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func (b *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Within)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// Go loads a page and waits until it is there.
func (b *Tab) Go(url string) {
	b.t.Helper()
	b.do("load "+url, chromedp.Navigate(url))
}

// Keys presses keys, one after the other; kb of chromedp names those that have no character.
func (b *Tab) Keys(keys string) {
	b.t.Helper()
	b.do("press keys", chromedp.KeyEvent(keys))
}

// Eval evaluates an expression in the page.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Within)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return out
}

// Await waits until an expression is true in the page.
func (b *Tab) Await(expression string) {
	b.t.Helper()
	for end := time.Now().Add(Within); ; {
		if Eval[bool](b, expression) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s is not true within %v; the page says:\n%s", expression, Within, Eval[string](b, "document.body.innerText"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Look makes the window so wide and high, in pixels, and the system dark or light.
func (b *Tab) Look(wide, high int64, dark bool) {
	b.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	b.do("resize", chromedp.EmulateViewport(wide, high), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// Scripts turns them on or off, from the next page on.
func (b *Tab) Scripts(on bool) {
	b.t.Helper()
	b.do("scripts", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// Shoot writes a picture of the whole page to a file.
func (b *Tab) Shoot(file string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Within)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// An Element is what somebody who does not see the page is told of a part of it.
type Element struct{ Role, Name string }

// Heard is the tree of such elements, from first to last; those that say nothing are left out.
func (b *Tab) Heard() []Element {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Within)
	defer cancel()
	tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []Element
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		e := Element{Role: text(n.Role)}
		if n.Name != nil {
			e.Name = text(n.Name)
		}
		out = append(out, e)
	}
	return out
}

func text(v *accessibility.Value) (s string) {
	_ = json.Unmarshal([]byte(v.Value), &s) // what is no text says nothing
	return strings.TrimSpace(s)
}
