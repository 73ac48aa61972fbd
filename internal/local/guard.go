package local

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// contentPolicy is what a browser may do with a page of ours: use what lies beside it, and nothing else. Nothing in it is inline, so that a text
// which got into the page past the writer would still do nothing.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard keeps browsers from being a bridge for pages of others (T-63). It answers only requests that name this box by address, as
// localhost or by one of names: another name may have been pointed here (DNS rebinding). What a page of another origin asks for is
// refused; following a link to here is not.
func guard(next http.Handler, names []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !named(r.Host, names):
			http.Error(w, "ask for this page by address, as localhost, or by a name of local.names", http.StatusForbidden)
		case foreign(r):
			http.Error(w, "asked for by a page of another site", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// named reports whether a Host header names this box.
func named(host string, names []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host == "localhost" || net.ParseIP(host) != nil || slices.Contains(names, host)
}

// foreign reports whether a page of another origin wants it, by what its browser says of itself. Programs say nothing.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}
