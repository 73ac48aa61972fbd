package metrics

import (
	"crypto/sha256"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// ServeWeb is server.Serve with what a web configuration file wants; "" wants nothing. Users, headers and certificates are read
// anew for each request or connection, so a change holds at once; the limit of requests, HTTP/2, and whether there is TLS are as they were at the start.
func ServeWeb(l net.Listener, server *http.Server, file string) error {
	if file == "" {
		return server.Serve(l)
	}
	c, err := readWebConfig(file)
	if err != nil {
		return err
	}
	g := &gate{file: file, next: server.Handler, known: map[[sha256.Size]byte]bool{}}
	if c.Rate.Interval != 0 {
		g.limit = rate.NewLimiter(rate.Every(time.Duration(c.Rate.Interval)), c.Rate.Burst)
	}
	server.Handler = g
	if !c.TLS.enabled() {
		return server.Serve(l)
	}
	if server.TLSConfig, err = c.TLS.config(); err != nil {
		return err
	}
	if !c.HTTP.HTTP2 {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	server.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := readWebConfig(file)
		if err != nil {
			return nil, err
		}
		t, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		if server.TLSNextProto["h2"] != nil { // this build has it, and it was not turned off
			t.NextProtos = append(t.NextProtos, "h2")
		}
		t.NextProtos = append(t.NextProtos, "http/1.1")
		return t, nil
	}
	return server.ServeTLS(l, "", "")
}

// A gate sets headers, limits requests and asks for name and password.
type gate struct {
	file  string
	next  http.Handler
	limit *rate.Limiter // nil: none

	hashing sync.Mutex // one comparison at a time, each costs as much CPU as a scrape
	mu      sync.Mutex
	known   map[[sha256.Size]byte]bool // whether name, hash and password go together, for a few that came
}

// mostKnown is how many logins, right or wrong, are remembered: Prometheus sends the same at every scrape.
const mostKnown = 100

// nobody is the hash of a password that was thrown away: a name that does not exist takes as long as one that does.
const nobody = "$2a$10$Fvs7JmVdlsHS/cqPBZoawOpNyqGWMnUMH4GYt5CkkqduSXLI99x16"

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := readWebConfig(g.file)
	switch {
	case err != nil:
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	case g.limit != nil && !g.limit.Allow():
		http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
		return
	}
	for name, value := range c.HTTP.Headers {
		w.Header().Set(name, value)
	}
	if name, password, ok := r.BasicAuth(); len(c.Users) == 0 || ok && g.admits(c.Users, name, password) {
		g.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", "Basic")
	http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
}

func (g *gate) admits(users map[string]string, name, password string) bool {
	hash, exists := users[name]
	if !exists {
		hash = nobody
	}
	login := digest(name, hash, password)
	right, ok := g.recall(login)
	if !ok {
		g.hashing.Lock()
		right = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
		g.hashing.Unlock()
		g.remember(login, right)
	}
	return exists && right
}

// digest tells logins apart without keeping passwords.
func digest(parts ...string) [sha256.Size]byte {
	var all []byte
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		all = append(all, sum[:]...)
	}
	return sha256.Sum256(all)
}

func (g *gate) recall(login [sha256.Size]byte) (right, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	right, ok = g.known[login]
	return right, ok
}

func (g *gate) remember(login [sha256.Size]byte, right bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= mostKnown {
		for one := range g.known {
			delete(g.known, one)
			break
		}
	}
	g.known[login] = right
}
