package api

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// keepAnswers is how long an answer to an Idempotency-Key is kept.
const keepAnswers = 24 * time.Hour

// Bounds of one account over all processes. A person, and a script that does what a person does, meets neither; without them an account fills
// tables that are kept for a day (answers) or for ever (the Event Log).
var (
	changesBy = limit.Limit{Name: "changes", Most: 1000, Per: time.Hour}        // requests that change something, done
	answersBy = limit.Limit{Name: "answers kept", Most: 1000, Per: keepAnswers} // of them with an Idempotency-Key
)

// spend counts a change that is about to be done.
func (q *Request) spend(ctx context.Context, tx *store.Tx, of limit.Limit) error {
	if q.Actor.Account == "" {
		return nil // routes without a sign-in have limits of their own
	}
	return limit.Spend(ctx, tx, q.Now, of.Of(q.Actor.Account))
}

// change runs the function of a route in one transaction, with what the key of the request asks for.
func (a *API) change(rt route, q *Request) (answer Answer, err error) {
	key := q.Header.Get("Idempotency-Key")
	if key != "" && (q.Method != http.MethodPost || q.Actor.Ref == "" || !visible(key)) {
		return Answer{}, cloud.Refuse(policy.Malformed, "Idempotency-Key is for POST of who is signed in, 1 to 64 visible characters")
	}
	err = q.DB().Write(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		if key != "" {
			var known bool
			if answer, known, err = kept(ctx, tx, q, key); err != nil {
				return err
			}
			if known {
				return a.mayRepeat(ctx, tx, rt, q, answer)
			}
		}
		if err = q.spend(ctx, tx, changesBy); err != nil {
			return err
		}
		if answer, err = rt.change(ctx, tx, q); err != nil || key == "" {
			return err
		}
		if err = q.spend(ctx, tx, answersBy); err != nil {
			return err
		}
		return keep(ctx, tx, q, key, &answer)
	})
	return answer, err
}

func visible(key string) bool {
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(key) <= 64
}

// fingerprint tells one request from another.
func (q *Request) fingerprint() []byte {
	h := sha256.New()
	h.Write([]byte(q.Method + " " + q.URL.RequestURI() + "\n"))
	h.Write(q.body)
	return h.Sum(nil)
}

// kept returns the answer that a key had.
func kept(ctx context.Context, tx *store.Tx, q *Request, key string) (Answer, bool, error) {
	var request, body, header []byte
	var status int
	err := tx.QueryRow(ctx, `SELECT request, status, header, body FROM answers WHERE actor = $1 AND key = $2 AND at > $3`,
		q.Actor.Ref, key, q.Now.Add(-keepAnswers).UnixMilli()).Scan(&request, &status, &header, &body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Answer{}, false, nil
	case err != nil:
		return Answer{}, false, err
	case string(request) != string(q.fingerprint()):
		return Answer{}, false, cloud.Refuse(policy.Conflict, "this Idempotency-Key was used for another request")
	}
	if status == secretStatus {
		return Answer{}, false, cloud.Refuse(policy.Conflict, "this was done; its answer had a secret in it, which is told once and not kept")
	}
	answer := Answer{Status: status}
	if len(body) > 0 {
		answer.Body = json.RawMessage(body)
	}
	return answer, true, json.Unmarshal(header, &answer.Header)
}

// mayRepeat asks before an answer is given again whether there still is, for this actor, what the path names: a right that ended since is gone
// (PERM-10), and with it what the answer would tell. An answer without a body tells nothing: who has left may hear again that they have.
func (a *API) mayRepeat(ctx context.Context, tx *store.Tx, rt route, q *Request, answer Answer) error {
	if answer.Body == nil {
		return nil
	}
	switch id := q.PathValue("id"); {
	case strings.HasPrefix(rt.pattern, "/api/v1/devices/{id}/"):
		d, err := device.GetFor(ctx, tx, q.Actor, id)
		if err != nil {
			return err
		}
		role, err := device.Role(ctx, tx, q.Actor, d)
		if err == nil && role == policy.Nobody {
			err = device.ErrNone
		}
		return err
	case strings.HasPrefix(rt.pattern, "/api/v1/orders/{id}/"):
		_, err := a.cfg.Orders.Get(ctx, tx, q.Actor, id)
		return err
	}
	return nil
}

// secretStatus stands in place of an answer that must not be kept.
const secretStatus = 0

// keep writes an answer down, and forgets old ones.
func keep(ctx context.Context, tx *store.Tx, q *Request, key string, answer *Answer) error {
	var body []byte
	if answer.Body != nil {
		var err error
		if body, err = json.Marshal(answer.Body); err != nil {
			return err
		}
		answer.Body = json.RawMessage(body) // the very bytes, now and later
	}
	status := answer.status()
	header, err := json.Marshal(answer.Header)
	if err != nil {
		return err
	}
	if answer.Secret {
		status, header, body = secretStatus, []byte("{}"), nil
	}
	old := q.Now.Add(-keepAnswers).UnixMilli()
	if _, err := tx.Exec(ctx, `DELETE FROM answers WHERE at <= $1`, old); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO answers (actor, key, request, status, header, body, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		q.Actor.Ref, key, q.fingerprint(), status, header, body, q.Now.UnixMilli())
	return err
}
