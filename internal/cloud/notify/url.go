package notify

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// urlMax bounds an URL in bytes.
const urlMax = 1024

// parse reads the URL of a webhook strictly: https, or http where the operator has networks of the own; no user, no fragment; a whole name or
// a public address; port 443 (80 without TLS) or one from 1024 on. Where the name leads is judged at each attempt.
func (s *sender) parse(text string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) { return nil, cloud.RefuseField(policy.Malformed, "url", "%s", why) }
	if text == "" || len(text) > urlMax || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' || r == '"' || r == '<' || r == '>' }) {
		return refuse("1 to 1024 visible ASCII characters are wanted")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return refuse("it is no URL like https://hooks.example/ups")
	}
	secure := u.Scheme == "https"
	if !secure && (u.Scheme != "http" || len(s.dialer.allow) == 0) {
		return refuse("https is wanted")
	}
	if u.User != nil {
		return refuse("user and password have no place in it")
	}
	if u.Fragment != "" || strings.Contains(text, "#") {
		return refuse("a fragment has no place in it")
	}
	if !goodPort(u.Port(), secure) || strings.HasSuffix(u.Host, ":") {
		return refuse("the port must be the usual one or one from 1024 on")
	}
	if !s.goodHost(u, secure) {
		return refuse("the host must be a whole name or a public address")
	}
	return u, nil
}

// goodPort: what mail servers, shells and the like listen on is not asked.
func goodPort(port string, secure bool) bool {
	if port == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	usual := 80
	if secure {
		usual = 443
	}
	return err == nil && strconv.Itoa(n) == port && (n == usual || n >= 1024 && n <= 65535)
}

// goodHost holds a host to names that are looked up as they stand there. An address in another writing than the usual one is no name.
func (s *sender) goodHost(u *url.URL, secure bool) bool {
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return s.dialer.allowed(ip, secure)
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil || !strings.EqualFold(ascii, host) || strings.HasSuffix(host, ".") {
		return false
	}
	labels := strings.Split(ascii, ".")
	last := labels[len(labels)-1]
	if len(labels) < 2 && len(s.dialer.allow) == 0 { // "localhost", and names of one's own network
		return false
	}
	return last != "" && strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

// hostOf is the host and port of an URL that parse has let pass: what connections are counted by.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}
