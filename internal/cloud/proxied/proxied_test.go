package proxied

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21"

// rows are headers and whom they name; "" is nobody, "-" no header.
var rows = map[string]string{
	"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n":  "192.0.2.7:4711",
	"PROXY TCP6 2001:db8::7 2001:db8::1 4711 8443\r\n": "[2001:db8::7]:4711",
	"PROXY UNKNOWN\r\n":                 "",
	"PROXY UNKNOWN ffff::1 ::1 1 2\r\n": "",
	v2 + "\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x20\xfb":                   "192.0.2.7:4711",
	v2 + "\x11\x00\x0f\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x20\xfb\x04\x00\x00":       "192.0.2.7:4711",
	v2 + "\x21\x00\x24\x20\x01\x0d\xb8" + strings.Repeat("\x00", 28) + "\x12\x67\x20\xfb": "[2001:db8::]:4711",
	"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00":                                              "",
	v2 + "\x00\x00\x00":                                                                   "",
	"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n":                                          "-",
	"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\n" + strings.Repeat(" ", 200):            "-",
	"PROXY TCP4 2001:db8::7 2001:db8::1 4711 8443\r\n":                                    "-",
	"PROXY TCP4 192.0.2.7 198.51.100.1 04711 8443\r\n":                                    "-",
	"PROXY TCP4 192.0.2.7 198.51.100.1 70000 8443\r\n":                                    "-",
	"PROXY TCP4  192.0.2.7 198.51.100.1 4711 8443\r\n":                                    "-",
	"proxy TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n":                                     "-",
	"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n":                                             "-",
	"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443 " + strings.Repeat("x", 100) + "\r\n":    "-",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 20):           "-",
	"\r\n\r\n\x00\r\nQUIT\n\x11\x11\x00\x0c" + strings.Repeat("\x00", 12):                 "-",
	v2 + "\x11\x00\x04\xc0\x00\x02\x07":                                                   "-",
	v2 + "\x12\x00\x0c" + strings.Repeat("\x00", 12):                                      "-",
	v2 + "\x11\xff\xff" + strings.Repeat("\x00", 100):                                     "-",
	"\r\n\r\n\x00\r\nQUIT\n\x22\x11\x00\x0c" + strings.Repeat("\x00", 12):                 "-",
}

func TestT85HeadersOfBalancersAreReadStrictly(t *testing.T) {
	for text, want := range rows {
		r := bufio.NewReader(strings.NewReader(text + "rest"))
		addr, err := readHeader(r)
		switch {
		case err != nil:
			if want != "-" {
				t.Errorf("%q: %v", text, err)
			}
			continue
		case want == "-":
			t.Errorf("%q was taken, as of %v", text, addr)
			continue
		}
		if got := ""; addr != nil && addr.String() != want || addr == nil && want != got {
			t.Errorf("%q: %v, want %q", text, addr, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "rest" {
			t.Errorf("%q: behind it stands %q", text, rest)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	for text := range rows {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, err := readHeader(bufio.NewReader(bytes.NewReader(b)))
		if err == nil && addr != nil {
			if tcp := addr.(*net.TCPAddr); !tcp.AddrPort().IsValid() {
				t.Errorf("%q: %v", b, addr)
			}
		}
	})
}

// serve answers each connection with the address it has, and what was read.
func serve(t *testing.T, from ...string) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var nets []netip.Prefix
	for _, p := range from {
		nets = append(nets, netip.MustParsePrefix(p))
	}
	l := Wrap(inner, nets)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 512)
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				n, err := c.Read(b)
				if err == nil {
					host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
					_, _ = io.WriteString(c, host+" "+string(b[:n]))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func ask(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return ""
	}
	b, _ := io.ReadAll(c)
	return string(b)
}

// TestT84NobodyButTheBalancerSaysWhereItComesFrom: a header from elsewhere is what was sent, no header; and from the balancer nothing passes
// without one.
func TestT84NobodyButTheBalancerSaysWhereItComesFrom(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n"
	balancer, other := serve(t, "10.0.0.0/8", "127.0.0.0/8"), serve(t, "10.0.0.0/8")
	if got := ask(t, balancer, header+"hello"); got != "192.0.2.7 hello" {
		t.Errorf("from the balancer: %q", got)
	}
	if got := ask(t, balancer, "hello, this has no header at all"); got != "" {
		t.Errorf("from the balancer, without a header: %q", got)
	}
	if got := ask(t, other, header+"hello"); got != "127.0.0.1 "+header+"hello" {
		t.Errorf("from elsewhere: %q", got)
	}
	if got := ask(t, serve(t), "hello"); got != "127.0.0.1 hello" {
		t.Errorf("without a balancer: %q", got)
	}
	if got := ask(t, balancer, "PROXY UNKNOWN\r\nhello"); got != "127.0.0.1 hello" {
		t.Errorf("of nobody known: %q", got)
	}
}
