package doctor

import (
	"context"
	"net"
	"testing"

	"upsedge/internal/config"
)

// A nameServer answers every question with a code of DNS (RFC 1035, 4.1.1), 0 being an address; with a code below 0 it says nothing.
func nameServer(t testing.TB, code int) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if code < 0 {
				continue
			}
			end := 12
			for b[end] != 0 {
				end += int(b[end]) + 1
			}
			end += 5 // the rest of the question
			a := append([]byte{}, b[:min(end, n)]...)
			a[2], a[3], a[7], a[9], a[11] = 0x81, 0x80|byte(code), 0, 0, 0
			if code == 0 && a[end-3] == 1 { // an A record
				a[7] = 1
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7)
			}
			_, _ = c.WriteTo(a, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

func TestTheNames(t *testing.T) {
	up := box(t, map[string]string{"sys/class/net/eth0/operstate": "up\n", "sys/class/net/lo/operstate": "unknown\n", "etc/resolv.conf": "# by hand\nnameserver 192.0.2.53\n"})
	down := box(t, map[string]string{"sys/class/net/eth0/operstate": "down\n", "sys/class/net/lo/operstate": "unknown\n"})
	hosts := []string{"cloud.example", "192.0.2.1", "", "cloud.example"}
	if found := up.LookAtNames(t.Context(), hosts, nameServer(t, 0)); len(found) != 1 {
		t.Errorf("each name once: %s", words(found))
	} else {
		is(t, "well", found, OK, "192.0.2.7")
	}
	is(t, "addresses alone", up.LookAtNames(t.Context(), []string{"192.0.2.1"}, nameServer(t, 3)), OK, "no name")
	is(t, "an unknown name", up.LookAtNames(t.Context(), hosts, nameServer(t, 3)), Problem, "knows the name cloud.example", "192.0.2.53")
	is(t, "a server in trouble", up.LookAtNames(t.Context(), hosts, nameServer(t, 2)), Problem, "cannot be looked up")
	is(t, "a network", up.LookAtNetwork(true), OK, "is up")
	is(t, "no network", down.LookAtNetwork(true), Problem, "no network interface", "cable")
	is(t, "none needed", down.LookAtNetwork(false), OK, "none is needed")
	ctx, cancel := context.WithTimeout(t.Context(), lookupWithin/20)
	defer cancel()
	is(t, "no server", up.LookAtNames(ctx, hosts, nameServer(t, -1)), Problem, "no name server answers")
	bare := box(t, nil)
	is(t, "no server named", bare.LookAtNames(t.Context(), hosts, nameServer(t, 3)), Problem, "names no server")
}

func TestTheListeners(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	busy := l.Addr().String()
	defer l.Close()
	at := func(metrics, local, web string) *config.Config {
		return &config.Config{Metrics: config.Metrics{Listen: metrics, WebConfig: web}, Local: config.Local{Listen: local}}
	}
	r := Root("/")
	is(t, "well", r.LookAtListeners(at("127.0.0.1:0", "localhost:0", ""), false), OK, "127.0.0.1:0")
	is(t, "none", r.LookAtListeners(at("", "", ""), false), OK, "no page")
	is(t, "open metrics", r.LookAtListeners(at("0.0.0.0:0", "", ""), true), Note, "metrics.web_config")
	if found := r.LookAtListeners(at(":0", "", "/etc/web.yaml"), true); worst(found) != OK {
		t.Errorf("with a password: %s", words(found))
	}
	is(t, "an open page", r.LookAtListeners(at("", "0.0.0.0:0", "/etc/web.yaml"), true), Note, "serial numbers")
	is(t, "taken", r.LookAtListeners(at(busy, "", ""), false), Problem, busy, "in use", "ss -ltnp")
	is(t, "ours", r.LookAtListeners(at(busy, "", ""), true), OK, busy)
	is(t, "not of this box", r.LookAtListeners(at("192.0.2.99:9811", "", ""), false), Problem, "no address of this box")
}
