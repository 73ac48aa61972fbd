package metrics

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

const testUsers = "basic_auth_users: {prometheus: $2a$04$aZM/M6Cd0zgkiJQ2kq7Gd.ejT1RukhX1kaidTzUT9Br.6E1sJenJe}\n" // "test", at the least cost

// webFiles are web configurations, good and bad, by what they are.
func webFiles(t *testing.T, dir string) map[string]string {
	writeCertificate(t, dir)
	cert, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	indent := func(pem []byte) string {
		return "|\n    " + strings.ReplaceAll(strings.TrimSpace(string(pem)), "\n", "\n    ") + "\n"
	}
	files := map[string]string{
		"empty": "", "comment": "# nothing\n", "nulls": "tls_server_config:\nhttp_server_config:\nrate_limit:\nbasic_auth_users:\n",
		"text": "text", "list": "[1]", "not YAML": "a: [", "unknown": "tls: {}", "unknown below": "http_server_config: {http3: true}", "twice": "rate_limit: {}\nrate_limit: {}\n",
		"two documents": "http_server_config: {http2: false}\n---\nfoo: bar\n",
		"inline":        "tls_server_config:\n  cert: " + indent(cert) + "  key: " + indent(key),
		"inline key":    "tls_server_config:\n  cert_file: cert.pem\n  key: " + indent(key),
		"absolute":      fmt.Sprintf("tls_server_config: {cert_file: %s/cert.pem, key_file: %[1]s/key.pem}", dir),
		"users":         testUsers, "user without password": "basic_auth_users: {a: }", "plain password": "basic_auth_users: {a: test}", "users as list": "basic_auth_users: [a]",
		"rate": "rate_limit: {interval: 1s, burst: 2}", "rate of nothing": "rate_limit: {interval: 0, burst: 0}", "rate of ns": "rate_limit: {interval: 5}",
		"rate of words": "rate_limit: {interval: soon}", "rate of minus": "rate_limit: {interval: -1s}", "burst of words": "rate_limit: {burst: many}",
		"headers":       "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=1, X-Content-Type-Options: nosniff, X-XSS-Protection: 1, Content-Security-Policy: x}}",
		"header value":  "http_server_config: {headers: {X-Frame-Options: allow}}",
		"header value2": "http_server_config: {headers: {X-Content-Type-Options: }}",
		"header name":   "http_server_config: {headers: {Server: us}}", "header case": "http_server_config: {headers: {x-frame-options: deny}}",
		"http2": "http_server_config: {http2: yes}", "http2 of words": "http_server_config: {http2: maybe}",
	}
	for name, rest := range map[string]string{
		"all": "min_version: TLS10, max_version: TLS12, prefer_server_cipher_suites: true, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256], curve_preferences: [X25519, CurveP256]",
		"CA":  "client_ca_file: cert.pem, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a]", "CA without type": "client_ca_file: cert.pem",
		"CA of nobody": "client_ca: x, client_auth_type: RequestClientCert", "no CA file": "client_ca_file: none.pem, client_auth_type: RequestClientCert",
		"version": "min_version: TLS1.2", "version null": "min_version: ", "cipher": "cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", "cipher 2": "cipher_suites: TLS_AES_128_GCM_SHA256",
		"curve": "curve_preferences: [P256]", "type": "client_auth_type: Ask", "none": "client_auth_type: NoClientCert", "any": "client_auth_type: RequireClientCert",
		"verify": "client_auth_type: VerifyClientCertIfGiven", "field": "ca: x",
	} {
		files["tls "+name] = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, " + rest + "}"
		files["no cert "+name] = "tls_server_config: {key_file: key.pem, " + rest + "}"
		files["no key "+name] = "tls_server_config: {cert_file: cert.pem, " + rest + "}"
		files["no key file "+name] = "tls_server_config: {cert_file: cert.pem, key_file: none.pem, " + rest + "}"
		files["wrong key "+name] = "tls_server_config: {cert_file: cert.pem, key_file: cert.pem, " + rest + "}"
		files["alone "+name] = "tls_server_config: {" + rest + "}"
	}
	return files
}

// What Prometheus' own library takes is taken, and nothing else.
func TestAWebConfigurationIsWhatPrometheusTakesForOne(t *testing.T) {
	dir := t.TempDir()
	files := webFiles(t, dir)
	taken := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(dir, "web.yml")
		if err := os.WriteFile(file, []byte(files[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		ours, theirs := CheckWebConfig("web", file), web.Validate(file)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("%s: %v, want %v:\n%s", name, ours, theirs, files[name])
		}
		if theirs == nil {
			taken++
		}
	}
	if taken < 20 || taken > len(files)-20 {
		t.Errorf("%d of %d are taken: the files show little", taken, len(files))
	}
	if CheckWebConfig("web", filepath.Join(dir, "none")) == nil {
		t.Error("a file that is not there is taken")
	}
}

// What a client is told, by this server and by Prometheus' own, in the same words: logins right and wrong, headers, the limit, TLS of a
// version, clients with a certificate and without.
func TestAWebConfigurationServesAsPrometheusDoes(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir)
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]*tls.Config{
		"plain": {RootCAs: pool}, "old": {RootCAs: pool, MaxVersion: tls.VersionTLS12}, "known": {RootCAs: pool, Certificates: []tls.Certificate{own}},
	}
	const tlsPart = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, "
	for _, text := range []string{
		"", testUsers, "rate_limit: {interval: 1h, burst: 2}\n" + testUsers, "http_server_config: {headers: {X-Frame-Options: deny}}",
		tlsPart + "}", tlsPart + "min_version: TLS13}", tlsPart + "client_auth_type: RequireAnyClientCert}\n" + testUsers,
		tlsPart + "client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem, client_allowed_sans: [127.0.0.1]}",
		tlsPart + "client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem, client_allowed_sans: [other]}",
		tlsPart + "}\nhttp_server_config: {http2: false}",
	} {
		file := filepath.Join(dir, "web.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		scheme := "http"
		if strings.HasPrefix(text, tlsPart) {
			scheme = "https"
		}
		ours := serveBy(t, func(l net.Listener, s *http.Server) error { return ServeWeb(l, s, file) })
		theirs := serveBy(t, func(l net.Listener, s *http.Server) error {
			return web.Serve(l, s, &web.FlagConfig{WebConfigFile: &file}, slog.New(slog.DiscardHandler))
		})
		for _, client := range slices.Sorted(maps.Keys(clients)) {
			for _, login := range []string{"", "prometheus:test", "prometheus:tset", "prometheus:tset", "nobody:test", "prometheus:test"} {
				got, want := visit(t, scheme+"://"+ours, clients[client], login), visit(t, scheme+"://"+theirs, clients[client], login)
				if got != want {
					t.Errorf("%s, %s, %q: %s, want %s", text, client, login, got, want)
				}
			}
		}
	}
}

// What changes in the file holds from the next request or connection on.
func TestAWebConfigurationIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const tlsPart = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
	first := writeCertificate(t, dir)
	write(tlsPart)
	address := serveBy(t, func(l net.Listener, s *http.Server) error { return ServeWeb(l, s, file) })
	see := func(c *tls.Config, login, want string) {
		t.Helper()
		if got := visit(t, "https://"+address, c, login); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	see(&tls.Config{RootCAs: first}, "", "200")
	write(tlsPart + testUsers)
	see(&tls.Config{RootCAs: first}, "", "401")
	see(&tls.Config{RootCAs: first}, "prometheus:test", "200")
	second := writeCertificate(t, dir)
	see(&tls.Config{RootCAs: first}, "prometheus:test", "no answer")
	see(&tls.Config{RootCAs: second}, "prometheus:test", "200")
	write("nonsense")
	see(&tls.Config{RootCAs: second}, "prometheus:test", "no answer")
}

func TestLoginsAreRememberedButNotWithoutEnd(t *testing.T) {
	g := &gate{known: map[[32]byte]bool{}}
	for i := range 3 * mostKnown {
		g.remember(digest(fmt.Sprint(i)), true)
	}
	if len(g.known) != mostKnown {
		t.Errorf("%d are remembered, want %d", len(g.known), mostKnown)
	}
	if digest("ab", "c") == digest("a", "bc") {
		t.Error("two logins are one")
	}
}

// serveBy serves until the test ends and returns the address.
func serveBy(t *testing.T, serve func(net.Listener, *http.Server) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "series over "+r.Proto) }),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute,
	}
	done := make(chan error, 1)
	go func() { done <- serve(l, s) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().String()
}

// visit asks once and returns what came: status, text, the headers that a file may set, the version of TLS.
func visit(t *testing.T, url string, config *tls.Config, login string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, password, ok := strings.Cut(login, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "no answer"
	}
	spoken := ""
	if resp.TLS != nil {
		spoken = fmt.Sprintf("%s %s", tls.VersionName(resp.TLS.Version), resp.TLS.NegotiatedProtocol)
	}
	return fmt.Sprintf("%d %q %q %q %s", resp.StatusCode, body, resp.Header["X-Frame-Options"], resp.Header["Www-Authenticate"], spoken)
}
