package local

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// orderServer serves a page and a socket whose orders are carried out by give.
func orderServer(t *testing.T, give func(context.Context, OrderRequest, func(OrderStep)) error) (page, socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent.sock")
	s, err := Listen(Ways{Address: "127.0.0.1:0", Socket: socket}, Sources{Status: testStatus, Order: give})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once bool
	stop = func() {
		if cancel(); !once {
			once = true
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return "http://" + s.Addrs()[0], socket, stop
}

// TestT63OrdersAreTakenOnTheSocketAlone, which the agent's user and group may use and nobody else: no route of the page changes anything.
func TestT63OrdersAreTakenOnTheSocketAlone(t *testing.T) {
	given := 0
	page, socket, _ := orderServer(t, func(context.Context, OrderRequest, func(OrderStep)) error {
		given++
		return nil
	})
	for _, path := range []string{"/", "/v1/orders", "/v1/status", "/v1/layouts", "/v1/orders/", "//v1/orders"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "ORDER"} {
			req, err := http.NewRequestWithContext(t.Context(), method, page+path, bytes.NewReader([]byte(`{"unit":"rack-a","action":"reboot.ups"}`)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
	if given != 0 {
		t.Errorf("%d orders were taken over TCP", given)
	}
	if err := Give(t.Context(), socket, OrderRequest{Unit: "rack-a"}, func(OrderStep) {}); !errors.Is(err, ErrUnfinished) || given != 1 {
		t.Errorf("over the socket: %v, %d given", err, given)
	}
	fi, err := os.Stat(socket)
	if err != nil || fi.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the socket is %v, %v", fi.Mode(), err)
	}
}

// TestAnOrderIsToldStepByStep to its end, however long it takes.
func TestAnOrderIsToldStepByStep(t *testing.T) {
	steps := []OrderStep{
		{Order: "07", Unit: "rack-a", Action: "reboot.ups", State: "accepted"},
		{Order: "07", Unit: "rack-a", Action: "reboot.ups", State: "running", Progress: 40, Detail: "off"},
		{Order: "07", Unit: "rack-a", Action: "reboot.ups", State: "done", Final: true},
	}
	read := make(chan bool)
	_, socket, _ := orderServer(t, func(_ context.Context, r OrderRequest, step func(OrderStep)) error {
		if d := cmp.Diff(OrderRequest{ID: "07", Unit: "rack-a", Action: "reboot.ups", Params: map[string]string{"delay": "none"}}, r); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		for _, s := range steps {
			step(s)
			<-read // each is there before the next one is made
		}
		return nil
	})
	var got []OrderStep
	err := Give(t.Context(), socket, OrderRequest{ID: "07", Unit: "rack-a", Action: "reboot.ups", Params: map[string]string{"delay": "none"}}, func(s OrderStep) {
		got = append(got, s)
		read <- true
	})
	if d := cmp.Diff(steps, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// TestOrdersThatAreNoneAreRefusedWithWords.
func TestOrdersThatAreNoneAreRefusedWithWords(t *testing.T) {
	_, socket, _ := orderServer(t, func(context.Context, OrderRequest, func(OrderStep)) error {
		return &WrongOrder{"NOT_FOUND", "no unit \"x\"; there are: rack-a"}
	})
	var wrong *WrongOrder
	if err := Give(t.Context(), socket, OrderRequest{}, nil); !errors.As(err, &wrong) || wrong.Reason != "NOT_FOUND" || !strings.Contains(err.Error(), "rack-a") {
		t.Errorf("%v", err)
	}
	for _, body := range []string{"", "{", `{"unit":"a","who":"me"}`, `{"unit":"` + strings.Repeat("a", 20<<10) + `"}`} {
		resp, err := request(t.Context(), &http.Client{}, socket, http.MethodPost, "/v1/orders", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%.30q: %s", body, resp.Status)
		}
	}
	if err := Give(t.Context(), filepath.Join(t.TempDir(), "none"), OrderRequest{}, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v", err)
	}
}

// TestWhoWatchesAnOrderKeepsNoAgentFromStopping, and learns that the end was not seen.
func TestWhoWatchesAnOrderKeepsNoAgentFromStopping(t *testing.T) {
	_, socket, stop := orderServer(t, func(ctx context.Context, _ OrderRequest, step func(OrderStep)) error {
		step(OrderStep{State: "running"})
		<-ctx.Done()
		return ctx.Err()
	})
	began := make(chan bool, 1)
	ended := make(chan error, 1)
	go func() { ended <- Give(context.Background(), socket, OrderRequest{}, func(OrderStep) { began <- true }) }()
	<-began
	stop()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrUnfinished) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("who watches still waits")
	}
}
