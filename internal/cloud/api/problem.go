package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// A problem is what a request that was not done is answered with (RFC 9457), as application/problem+json.
type problem struct {
	Type    string        `json:"type"` // "about:blank": title and status say it
	Title   string        `json:"title"`
	Status  int           `json:"status"`
	Detail  string        `json:"detail,omitempty"`
	Reason  policy.Reason `json:"reason"`
	Field   string        `json:"field,omitempty"`
	Request string        `json:"request_id"`
	// Outcomes of a request about several devices of which none was done: of each, why.
	Outcomes []outcomeBody `json:"outcomes,omitempty"`
}

// statuses maps reasons to HTTP (rules, section 14). One that is missing is refused by a test.
var statuses = map[policy.Reason]int{
	policy.EmailRequired: 422, policy.EmailInvalid: 422, policy.AlreadyInvited: 409, policy.AlreadyShared: 409, policy.SelfShare: 409, policy.ShareLimit: 409,
	policy.PlanBasic: 402, policy.PlanStandard: 402, policy.CodeUnknown: 422, policy.CodeExpired: 410, policy.CodeUsed: 410, policy.CodeLocked: 429,
	policy.OwnerOnly: 403, policy.RoleReadOnly: 403, policy.NotFound: 404, policy.AlreadyRegistered: 409, policy.PartnerNotQualified: 403,
	policy.PartnerNotApproved: 403, policy.MFARequired: 401, policy.UnknownAction: 422, policy.RateLimit: 429, policy.Malformed: 400, policy.Expired: 410,
	policy.Cancelled: 409, policy.Unauthenticated: 401, policy.StepUpRequired: 403, policy.TokenInvalid: 403, policy.Conflict: 409, policy.TooLarge: 413,
	policy.Unsupported: 422, policy.UPSUnreachable: 409,
}

const internalError policy.Reason = "INTERNAL"

// problemOf returns what an error is for the outside. ok is false for one that is our own affair.
func problemOf(err error, request string) (p problem, ok bool) {
	var e *cloud.Error
	if !errors.As(err, &e) {
		return problem{"about:blank", "Internal Server Error", 500, "this is a fault of the service; it is in its log under the request's id", internalError, "", request, nil}, false
	}
	status := statuses[e.Reason]
	if status == 0 {
		status = http.StatusConflict
	}
	return problem{"about:blank", http.StatusText(status), status, e.Detail, e.Reason, e.Field, request, refusedOutcomes(err)}, true
}

func (p problem) write(w http.ResponseWriter, e *cloud.Error) {
	w.Header().Set("Content-Type", "application/problem+json")
	if e != nil && e.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.Retry+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized && p.Reason == policy.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="upsedge"`) // RFC 9110, section 11.6.1 wants one
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who hung up is not told
}
