package api

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"upsedge/internal/cloud/bundle"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// hostile are texts that no id has, as they stand in a path.
var hostile = []string{"%00", "a%00b", "%ff%fe", "%C0%80", "%ED%A0%80", "%0d%0aX-Y:z", "..%2f..", strings.Repeat("x", 3000), "%E2%80%AE", strings.Repeat("%F0%9F%98%80", 200)}

// hostileCursors decode to positions that no list has.
var hostileCursors = []string{
	`{"a":"\u0000","u":"\u0000","i":"\u0000","id":"\u0000"}`, `"\u0000"`, `"a_\u0000"`, `{"t":9223372036854775807,"at":9223372036854775807,"n":9223372036854775807,"a":-9223372036854775808}`,
	`{"t":-9223372036854775808,"at":-9223372036854775808}`, `18446744073709551615`, `1e300`, `null`, `[]`, `{"i":"\ud800"}`, "\xff", strings.Repeat("[", 4000),
}

// TestT85NoPathAndNoCursorIsAFault: what stands in place of ids and cursors is answered, whatever it is, on each route and both databases.
func TestT85NoPathAndNoCursorIsAFault(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		book, err := order.New(order.Config{DB: db, Signer: unsigned{}})
		must(t, err)
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1"}})
		id := s.register("AS1").ID
		devices := device.New(device.Config{})
		bundles, err := bundle.New(bundle.Options{DB: db, Secrets: secret.Random()})
		must(t, err)
		a, err := New(Config{
			Bundles: bundles, DB: db, Authenticate: known, Orders: book, Devices: devices, Licences: licences(t, db, devices), Heads: eventlog.NewSigner(func([]byte) (string, error) { return "e30.AA.AA", nil }, nil, nil),
		})
		must(t, err)
		s = serveSite(t, a)
		s.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		for _, r := range a.routes {
			if strings.Contains(r.pattern, "/organisation") || strings.Contains(r.pattern, "/account") || strings.Contains(r.pattern, "/agents") || r.public != "" || strings.Contains(r.pattern, "/session") {
				continue // not part of this site
			}
			var paths []string
			if before, after, some := strings.Cut(r.pattern, "{id}"); some {
				for _, bad := range hostile {
					paths = append(paths, before+bad+after)
				}
			}
			if strings.Contains(r.pattern, "{policy}") {
				for _, bad := range hostile {
					paths = append(paths, pathName.ReplaceAllLiteralString(r.pattern, bad))
				}
			}
			if own := strings.Replace(r.pattern, "{id}", id, 1); r.method == http.MethodGet && !strings.HasSuffix(own, "/events") {
				for _, c := range hostileCursors {
					paths = append(paths, own+"?point=load&cursor="+base64.RawURLEncoding.EncodeToString([]byte(c)))
				}
			}
			for _, path := range paths {
				var body any
				if r.method != http.MethodGet {
					body = `{}`
				}
				if e := s.do(r.method, path, body, ada); e.status >= 500 {
					t.Errorf("%s %.120s: %d %s", r.method, path, e.status, e.body)
				}
			}
		}
	})
}
