package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// An OrderRequest is an order that somebody gives on site. It is taken on the socket alone, which only the agent's own user and group may use:
// no route of the status page changes anything (T-63).
type OrderRequest struct {
	ID     string            `json:"id"`     // 32 hexadecimal digits, drawn by who asks; one that is known is answered, and does nothing
	Unit   string            `json:"unit"`   // name in the configuration
	Action string            `json:"action"` // of the rules, section 2
	Params map[string]string `json:"params"` // order.cancel without any takes back what is in hand
}

// An OrderStep is one state of an order; the answer has one a line, the final one last.
type OrderStep struct {
	Order    string `json:"order"`
	Unit     string `json:"unit,omitempty"`
	Action   string `json:"action"`
	State    string `json:"state"`
	Final    bool   `json:"final"`
	Reason   string `json:"reason,omitempty"`   // a code
	Progress int    `json:"progress,omitempty"` // percent
	Detail   string `json:"detail,omitempty"`
}

// String says in a line what an order is at.
func (s *OrderStep) String() string {
	out := s.Unit + ": " + s.Action + " " + s.State
	if s.Progress > 0 {
		out += fmt.Sprintf(" %d %%", s.Progress)
	}
	if why := InWords(s.Reason, s.Detail); why != "" {
		out += ": " + why
	}
	return out
}

// A WrongOrder is the error of a request that is no order: nothing was done, and no trace of it is kept.
type WrongOrder struct {
	Reason string `json:"reason"` // a code
	Detail string `json:"detail"`
}

func (w *WrongOrder) Error() string { return w.Detail }

const (
	maxOrder = 16 << 10 // bytes of a request
	// stepWithin is how long a step may take to be written: who does not read is left.
	stepWithin = 30 * time.Second
)

// order takes orders. Who asks is told until the order ends, or until they go away: that ends the watching and not the order.
func order(carryOut func(ctx context.Context, r OrderRequest, step func(OrderStep)) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in OrderRequest
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			refuseOrder(w, &WrongOrder{"MALFORMED", "the request is no order: " + err.Error()})
			return
		}
		out := http.NewResponseController(w)
		_ = out.SetReadDeadline(time.Time{})
		begun := false
		err := carryOut(r.Context(), in, func(s OrderStep) {
			line, _ := json.Marshal(s) // texts and numbers
			if !begun {
				w.Header().Set("Content-Type", "application/x-ndjson")
			}
			begun = true
			_ = out.SetWriteDeadline(time.Now().Add(stepWithin))
			_, _ = w.Write(append(line, '\n')) // a peer that has gone ends the request's context
			_ = out.Flush()
		})
		var wrong *WrongOrder
		switch {
		case begun || err == nil: // one who finds no final step knows that the end was not seen
		case errors.As(err, &wrong):
			refuseOrder(w, wrong)
		default:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
}

func refuseOrder(w http.ResponseWriter, wrong *WrongOrder) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(wrong)
}

// ErrUnfinished says that the agent ended, or was lost, before it told how an order ended.
var ErrUnfinished = errors.New("the agent stopped telling before the order ended; what became of it: upsagent status")

// Give asks the agent that listens on socket to carry out an order, and calls step with each state that it takes. It returns nil behind the
// final one. When ctx ends nobody watches any more; the order goes on. The error is a *WrongOrder for what is no order, ErrNotRunning,
// ErrUnfinished or as Ask's.
func Give(ctx context.Context, socket string, r OrderRequest, step func(OrderStep)) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	resp, err := request(ctx, &http.Client{}, socket, http.MethodPost, "/v1/orders", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnprocessableEntity:
		wrong := &WrongOrder{}
		if err := json.NewDecoder(resp.Body).Decode(wrong); err != nil {
			return fmt.Errorf("ask the agent: %w", err)
		}
		return wrong
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fmt.Errorf("ask the agent: it answered %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	for dec := json.NewDecoder(resp.Body); ; {
		var s OrderStep
		if err := dec.Decode(&s); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			return ErrUnfinished
		}
		if step(s); s.Final {
			return nil
		}
	}
}
