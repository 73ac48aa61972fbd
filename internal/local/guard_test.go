package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// deadline bounds what is waited for.
const deadline = 30 * time.Second

func TestT63OnlyWhoNamesThisBoxIsAnswered(t *testing.T) {
	h := guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") }), []string{"box.example"})
	get := func(host string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/v1/status", nil)
		r.Host = host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for host, want := range map[string]int{
		"127.0.0.1:9812": 200, "127.0.0.1": 200, "localhost:9812": 200, "LocalHost.": 200, "[::1]:9812": 200, "[fe80::1]": 200, "192.0.2.7:9812": 200,
		"box.example": 200, "BOX.example:9812": 200,
		"evil.example": 403, "evil.example:9812": 403, "localhost.evil.example": 403, "box.example.evil.example": 403, "127.0.0.1.evil.example": 403, "": 403, socketHost: 403, "a b": 403,
	} {
		if got := get(host).Code; got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
	}
	const here = "127.0.0.1:9812"
	for _, row := range []struct {
		what   string
		header []string
		want   int
	}{
		{"typed", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{"our own script", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 200},
		{"a link elsewhere", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{"a frame", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{"a fetch", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 403},
		{"another port of this box", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 403},
		{"an image", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{"an old browser's fetch", []string{"Origin", "http://evil.example"}, 403},
		{"a file", []string{"Origin", "null"}, 403},
		{"our own origin", []string{"Origin", "http://" + here}, 200},
	} {
		w := get(here, row.header...)
		if w.Code != row.want {
			t.Errorf("%s: %d, want %d", row.what, w.Code, row.want)
		}
		if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "" || h.Get("Content-Security-Policy") != contentPolicy || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", row.what, h)
		}
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(contentPolicy, want) {
			t.Errorf("no %s in the policy", want)
		}
	}
	if strings.Contains(contentPolicy, "unsafe") || strings.Contains(contentPolicy, "*") {
		t.Errorf("the policy is %s", contentPolicy)
	}
}

// No route of the page changes anything: whatever is asked with another method than GET is refused, by each of them.
func TestT63NoRouteOfThePageChangesAnything(t *testing.T) {
	address, _ := start(t)
	for _, path := range []string{"/", "/unit/rack-a", "/v1/status", "/v1/layouts", "/v1/live", assets.path("page.js"), "/v1/orders", "/v1/bundle", "/other"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "FOO"} {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed && resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
}

// served serves pages until the test ends, and returns them and their address.
func served(t *testing.T, status func(bool) Status) (*pages, string) {
	t.Helper()
	p := newPages(Sources{Status: status})
	mux := http.NewServeMux()
	p.routes(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return p, s.URL
}

// watch opens a stream.
func watch(t *testing.T, url string) *http.Response {
	t.Helper()
	return watchFrom(t, url, "127.0.0.1")
}

func watchFrom(t *testing.T, url, address string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := from(address).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// await waits until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, deadline)
		}
	}
}

// Who watches and does not read is let go: nothing is kept for them.
func TestT64WhoDoesNotReadIsLetGo(t *testing.T) {
	var n atomic.Int64
	p, url := served(t, func(bool) Status {
		s := many(200)
		for i := range s.Units {
			v := float64(n.Add(1))
			s.Units[i].Now.Runtime = &v
		}
		return s
	})
	p.every, p.within = time.Millisecond, 50*time.Millisecond
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprint(conn, "GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	await(t, "somebody watches", func() bool { return p.streams.Taken() == 1 })
	await(t, "they are let go", func() bool { return p.streams.Taken() == 0 })
}

func TestT64OnlySoManyWatch(t *testing.T) {
	_, url := served(t, func(bool) Status { return many(1) })
	for _, x := range []struct {
		from  string
		watch int
	}{{"127.0.0.1", eachStreams}, {"127.0.0.2", mostStreams - eachStreams}} {
		for i := range x.watch {
			if resp := watchFrom(t, url, x.from); resp.StatusCode != http.StatusOK {
				t.Fatalf("watcher %d from %s: %s", i+1, x.from, resp.Status)
			}
		}
		resp := watchFrom(t, url, x.from)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("one more from %s: %s", x.from, resp.Status)
		}
	}
	if page, err := http.Get(url + "/"); err != nil || page.StatusCode != http.StatusOK {
		t.Errorf("the page itself: %v, %v", page, err)
	}
}

// Whoever asks for all there is and reads slowly has one copy of it at a time, and keeps nobody else waiting.
func TestT64WhoReadsSlowlyHoldsOneAnswer(t *testing.T) {
	var made atomic.Int64
	s, err := Listen(Ways{Address: "127.0.0.1:0"}, Sources{Status: func(bool) Status {
		made.Add(1)
		st := many(1)
		st.Units[0].Failure = strings.Repeat("x", 8<<20) // more than fits between the two
		return st
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done }()
	for range 10 {
		conn, err := net.Dial("tcp", s.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /v1/status?values HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	}
	await(t, "the first is answered", func() bool { return made.Load() == 1 })
	resp, err := from("127.0.0.2").Get("http://" + s.Addrs()[0] + "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("another is answered %s, %v", resp.Status, err)
	}
	if n := made.Load(); n != 2 {
		t.Errorf("%d answers were made", n)
	}
}

// from is a client at an address.
func from(address string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

// Nobody watches, nothing happens: an agent that nobody looks at is not woken. And who watches is told what changed alone.
func TestNothingHappensWhileNobodyWatches(t *testing.T) {
	var asked atomic.Int64
	status := many(1)
	p, url := served(t, func(bool) Status {
		asked.Add(1)
		return status
	})
	p.every = 5 * time.Millisecond
	resp := watch(t, url)
	events := bufio.NewReader(resp.Body)
	seen := map[string]int{}
	for seen["beat"] < 2 {
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			seen[strings.TrimSpace(name)]++
		}
	}
	if seen["whole"] != 1 || seen["assets"] != 1 || seen["part"] != 0 {
		t.Errorf("where nothing changes it was told %v", seen)
	}
	resp.Body.Close()
	await(t, "nobody watches", func() bool { return p.streams.Taken() == 0 })
	n := asked.Load()
	time.Sleep(5 * p.every)
	if got := asked.Load(); got != n {
		t.Errorf("asked %d times while nobody watched", got-n)
	}
}

// Whoever watches keeps no agent from stopping.
func TestWhoWatchesKeepsNoAgentFromStopping(t *testing.T) {
	s, err := Listen(Ways{Address: "127.0.0.1:0"}, Sources{Status: func(bool) Status { return many(1) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	resp := watch(t, "http://"+s.Addrs()[0])
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(deadline):
		t.Fatal("the agent waits for who watches")
	}
	_, _ = io.Copy(io.Discard, resp.Body) // it has an end
}
