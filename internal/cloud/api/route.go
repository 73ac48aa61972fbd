package api

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A route is one row of the table.
type route struct {
	method, pattern string // as http.ServeMux has them
	// needs is the action of the permission matrix that the route is; why says why it is none of them, or that the package called decides.
	needs policy.Action
	why   string
	// public says why nobody need be signed in; "": somebody must be.
	public string
	read   func(q *Request) (Answer, error)
	change func(ctx context.Context, tx *store.Tx, q *Request) (Answer, error)
	body   int64 // bytes a request may have; 0: maxBody
	own    bool  // the route reads the body itself, once it knows that it wants it
}

const maxBody = 64 << 10

func (r *route) check() error {
	switch {
	case (r.needs == "") == (r.why == ""):
		return fmt.Errorf("api: %s %s has neither an action nor a reason for none, or both", r.method, r.pattern)
	case (r.read == nil) == (r.change == nil):
		return fmt.Errorf("api: %s %s neither reads nor changes, or both", r.method, r.pattern)
	case r.change != nil && r.method == http.MethodGet:
		return fmt.Errorf("api: GET %s changes something", r.pattern)
	}
	return nil
}

// pathName finds the names in a pattern.
var pathName = regexp.MustCompile(`\{([a-z]+)\}`)

// cleanIDs makes text of what stands in the path in place of ids: PostgreSQL takes neither the character 0 nor broken UTF-8, and an id that is
// none is answered as one that does not exist (PERM-9).
func (r *route) cleanIDs(q *http.Request) {
	for _, m := range pathName.FindAllStringSubmatch(r.pattern, -1) {
		q.SetPathValue(m[1], eventlog.Clean(q.PathValue(m[1])))
	}
}

// An Answer is what a route answers. The zero value is 204.
type Answer struct {
	Status int               // 0: 200, 204 without a body
	Body   any               // JSON, or nil
	Header map[string]string // Location, for instance
	Secret bool              // told once: an Idempotency-Key does not bring it again
	// Stream writes the body itself: exports, server-sent events. The status has been sent; an error is logged and ends the connection,
	// so that nobody takes what came for the whole. ctx ends when the server stops, too. Only of a read.
	Stream func(ctx context.Context, w http.ResponseWriter) error
}

func (an Answer) status() int {
	switch {
	case an.Status != 0:
		return an.Status
	case an.Body == nil && an.Stream == nil:
		return http.StatusNoContent
	}
	return http.StatusOK
}

var errNoRoute = cloud.Refuse(policy.NotFound, "there is nothing here; /api/v1/openapi.json says what there is")
