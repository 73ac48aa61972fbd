package doors

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// serve answers "/" at once and "/held" when the test lets it, over at most four connections, and returns the address and what lets go.
func serve(t *testing.T) (address string, began chan struct{}, letGo chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began, letGo = make(chan struct{}, 10), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") })
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		<-letGo
		fmt.Fprint(w, "held")
	})
	s := &http.Server{Handler: mux}
	bound := Bound(s, l, 4)
	done := make(chan error, 1)
	go func() { done <- s.Serve(bound) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String(), began, letGo
}

func ask(t *testing.T, address, path string) (string, error) {
	t.Helper()
	return askFrom(t, "127.0.0.1", address, path)
}

func askFrom(t *testing.T, from, address, path string) (string, error) {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestT64WhoSaysNothingKeepsNobodyOut(t *testing.T) {
	address, _, _ := serve(t)
	for i := range 40 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n") // and no end
		}
		if i%10 != 9 {
			continue
		}
		if body, err := ask(t, address, "/"); err != nil || body != "here" {
			t.Fatalf("behind %d connections that say nothing: %q, %v", i+1, body, err)
		}
	}
}

func TestT64AConnectionInUseIsNotTaken(t *testing.T) {
	address, began, letGo := serve(t)
	answers := make(chan string, 4)
	for range 4 {
		go func() {
			body, err := ask(t, address, "/held")
			answers <- fmt.Sprint(body, err)
		}()
		<-began
	}
	if body, err := ask(t, address, "/"); err == nil {
		t.Errorf("a fifth is answered %q while four are in use", body)
	}
	close(letGo)
	for range 4 {
		if got := <-answers; got != "held<nil>" {
			t.Errorf("one in use was answered %s", got)
		}
	}
	if body, err := ask(t, address, "/"); err != nil || body != "here" {
		t.Errorf("when they are gone: %q, %v", body, err)
	}
}

// Whoever keeps every connection in use from one address shuts the door for no other.
func TestT64OneAddressKeepsNoOtherOut(t *testing.T) {
	address, began, letGo := serve(t)
	answers := make(chan error, 4)
	for range 4 {
		go func() {
			_, err := ask(t, address, "/held")
			answers <- err
		}()
		<-began
	}
	if body, err := askFrom(t, "127.0.0.2", address, "/"); err != nil || body != "here" {
		t.Errorf("another address: %q, %v", body, err)
	}
	close(letGo)
	cut := 0
	for range 4 {
		if <-answers != nil {
			cut++
		}
	}
	if cut != 1 {
		t.Errorf("%d of the four were cut off, want the oldest", cut)
	}
}

func TestT64TurnsAreSharedByAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2, 1, 5*time.Second)
		from := func(address string) func() {
			return turns.Take(&http.Request{RemoteAddr: address + ":40000"})
		}
		one, begin := from("192.0.2.1"), time.Now()
		if from("192.0.2.1") != nil || time.Since(begin) != 5*time.Second {
			t.Errorf("a second of one address, after %v", time.Since(begin))
		}
		two := from("192.0.2.2")
		if one == nil || two == nil || turns.Taken() != 2 {
			t.Fatal("two addresses do not get two turns")
		}
		if from("192.0.2.3") != nil {
			t.Error("a third of two")
		}
		time.AfterFunc(time.Second, one)
		three := from("192.0.2.3")
		if three == nil {
			t.Fatal("who waits does not get the turn that is given back")
		}
		two()
		three()
		if len(turns.of) != 0 || turns.Taken() != 0 {
			t.Errorf("%d addresses are remembered", len(turns.of))
		}
	})
}
