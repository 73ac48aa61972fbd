package api

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/manual"
	"upsedge/internal/policy"
)

// docLine is a line of a page that sends something: method, path, who, another header, JSON, and what is answered.
var docLine = regexp.MustCompile(`(?m)^curl (?:-\w )*(?:-X (\w+) )?"\$CLOUD([^"]+)" -H "\$(\w+)"(?: -H "([^"]+)")?(?: --json '((?:[^']|'\$\w+')*)')? +# (\d+) ?([A-Z_]*)`)

// TestTheLinesOfThePagesDoWhatTheySay: each line of the pages that people read is sent, in its order, and answered as the page says.
func TestTheLinesOfThePagesDoWhatTheySay(t *testing.T) {
	for page, least := range map[string]int{"docs/sharing.md": 10, "docs/ordering.md": 7, "docs/notifications.md": 2} {
		t.Run(page, func(t *testing.T) {
			var text strings.Builder
			for _, b := range manual.Script(t, "../../..", page, "api") {
				text.WriteString(b.Text)
			}
			lines := docLine.FindAllStringSubmatch(text.String(), -1)
			if n := strings.Count("\n"+text.String(), "\ncurl "); len(lines) != n || n < least {
				t.Fatalf("%d lines of %d are understood", len(lines), n)
			}
			r := &reader{street: newStreet(t, storetest.Open(t, storetest.SQLite(t)))}
			r.words = map[string]string{"DEVICE": r.hers[ofDevice], "ONE": r.hers[ofDevice], "TWO": r.his[ofDevice], "KEY": "k1", "NIGHT": "k2"}
			for _, l := range lines {
				r.send(l)
			}
		})
	}
}

// A reader does what a page says, and notes the ids that are answered.
type reader struct {
	*street
	words map[string]string
}

func (r *reader) send(l []string) {
	method, path, body := l[1], l[2], l[5]
	if strings.Contains(l[0], "CODE") && r.words["CODE"] == "" {
		r.words["CODE"] = r.code("bob@example.com", 2)
	}
	for name, value := range r.words {
		path, body = strings.ReplaceAll(path, "$"+name, value), strings.ReplaceAll(body, "'$"+name+"'", value)
	}
	var send any
	if body != "" {
		send = body
	}
	if method == "" {
		method = map[bool]string{true: "GET", false: "POST"}[send == nil]
	}
	headers := []string{map[string]string{"ADA": r.hers["bearer"], "BOB": r.his["bearer"]}[l[3]]}
	if l[4] != "" {
		headers = append(headers, l[4])
	}
	e := r.do(method, path, send, headers...)
	if fmt.Sprint(e.status) != l[6] || e.status >= 400 && string(e.reason()) != l[7] {
		r.t.Errorf("%s\nis answered %d %s", l[0], e.status, e.body)
	}
	if e.status == 201 {
		r.note(e)
	}
}

func (r *reader) note(e exchange) {
	var made struct {
		Invitation, Job struct{ ID string }
		ID, Outcomes    any
	}
	e.into(r.t, &made)
	id, _ := made.ID.(string)
	for word, id := range map[string]string{"INVITATION": made.Invitation.ID, "JOB": made.Job.ID, "ORDER": id, "POLICY": id} {
		if id != "" {
			r.words[word] = id
		}
	}
}

// TestThePageOfSharingHasTheReasons, with their status.
func TestThePageOfSharingHasTheReasons(t *testing.T) {
	page := manual.Documents(t, "../../..")["docs/sharing.md"]
	for _, reason := range []policy.Reason{policy.ShareLimit, policy.PlanBasic, policy.CodeLocked, policy.RateLimit, policy.CodeExpired, policy.EmailInvalid} {
		if !strings.Contains(page, fmt.Sprintf("`%s` | %d |", reason, statuses[reason])) {
			t.Errorf("%s, %d is not on the page", reason, statuses[reason])
		}
	}
}

var routeForm = regexp.MustCompile("`(GET|POST|PUT|PATCH|DELETE) (/api/v1/[^ `?]*)")

// TestRoutesInTheDocumentsAreThere: by method and path, whatever a parameter is called.
func TestRoutesInTheDocumentsAreThere(t *testing.T) {
	s, named := newStreet(t, storetest.Open(t, storetest.SQLite(t))), 0
	parameter := regexp.MustCompile(`\{\w+\}`)
	known := map[string]bool{"GET /api/v1/openapi.json": true}
	for _, r := range s.routes {
		known[r.method+" "+parameter.ReplaceAllString(r.pattern, "{}")] = true
	}
	for page, text := range manual.Documents(t, "../../..") {
		for _, m := range routeForm.FindAllStringSubmatch(text, -1) {
			if named++; !known[m[1]+" "+parameter.ReplaceAllString(m[2], "{}")] {
				t.Errorf("%s: there is no %s %s", page, m[1], m[2])
			}
		}
	}
	if named < 8 {
		t.Errorf("only %d routes found", named)
	}
}
