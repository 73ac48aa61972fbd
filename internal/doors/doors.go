// Package doors bounds how many connections a small HTTP server has at a time, so that whoever opens many and says nothing costs
// little and keeps nobody out (T-64). It knows no route and no protocol but HTTP/1.1's: a connection is in use while one of its
// requests is answered, and can be spared while none is.
package doors

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Limits of a server that answers people and programs on the spot; who needs others sets them itself.
const (
	// Most connections at a time: a browser opens six, a scraper one.
	Most = 64
	// MostHeader is far above what a browser sends, in bytes.
	MostHeader = 16 << 10
)

// Bound has server, which is to serve what is returned, keep at most `most` connections of l. Where another one comes, one goes on which
// no request is answered, because it has not said what it wants or is kept for a next request: the oldest of the address that has the most
// of those. Where all are in use, the oldest of the address that has the most goes if that has two more than who comes: who asks sixty times
// and reads slowly shuts the door for nobody else. Otherwise the new one is closed. Call it once, when the server's handler stands and
// before it serves.
func Bound(server *http.Server, l net.Listener, most int) net.Listener {
	d := &door{Listener: l, most: most}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
			c = t.NetConn()
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			d.use(c, true)
			defer d.use(c, false)
		}
		next.ServeHTTP(w, r)
	})
	return d
}

type connKey struct{}

// A door is a listener that knows its connections.
type door struct {
	net.Listener
	most int

	mu    sync.Mutex
	conns []*conn // the oldest first
}

// A conn is a connection of a door.
type conn struct {
	net.Conn
	door *door
	from string // its address
	used int    // requests that are answered; guarded by the door's mu
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if mine := d.admit(c); mine != nil {
			return mine, nil
		}
		c.Close()
	}
}

// admit makes room for a connection; nil: there is none.
func (d *door) admit(c net.Conn) *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	from := address(c.RemoteAddr().String())
	if len(d.conns) >= d.most {
		spare := d.spare(from)
		if spare < 0 {
			return nil
		}
		d.conns[spare].Conn.Close() // the server finds out, and closes ours
		d.conns = append(d.conns[:spare], d.conns[spare+1:]...)
	}
	mine := &conn{Conn: c, door: d, from: from}
	d.conns = append(d.conns, mine)
	return mine
}

// spare is the connection that goes when one from an address comes, -1 for none. The caller holds mu.
func (d *door) spare(from string) int {
	all, idle := map[string]int{}, map[string]int{}
	for _, c := range d.conns {
		all[c.from]++
		if c.used == 0 {
			idle[c.from]++
		}
	}
	out, most := -1, 0
	for i, c := range d.conns {
		if c.used == 0 && idle[c.from] > most {
			out, most = i, idle[c.from]
		}
	}
	if out >= 0 {
		return out
	}
	most = all[from] + 1
	for i, c := range d.conns {
		if all[c.from] > most {
			out, most = i, all[c.from]
		}
	}
	return out
}

func (d *door) use(c *conn, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if on {
		c.used++
	} else {
		c.used--
	}
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.door.mu.Lock()
	for i, other := range c.door.conns {
		if other == c {
			c.door.conns = append(c.door.conns[:i], c.door.conns[i+1:]...)
			break
		}
	}
	c.door.mu.Unlock()
	return c.Conn.Close()
}
