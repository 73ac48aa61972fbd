package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// notInternet are the networks of IPv4 that are no public host's: webhooks never reach into somebody's own network, ours first (T-85). Of IPv6
// only 2000::/3 is public, but for what follows there. Source: IANA's registries of special-purpose addresses, and the addresses by which
// clouds tell their machines secrets.
var notInternet = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
	"192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // a cloud's own service for its machines, in public space
	"2001::/23",        // protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32", "2002::/16" /* 6to4: has an IPv4 address inside */, "2620:4f:8000::/48", "3fff::/20",
)

var publicIPv6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// public reports whether an address is one of the internet. NAT64, IPv4-mapped, local, shared, multicast and unspecified ones are not.
func public(ip netip.Addr) bool {
	switch {
	case !ip.IsValid() || ip.Zone() != "" || ip.Is4In6():
		return false
	case ip.Is6() && !publicIPv6.Contains(ip):
		return false
	}
	return !within(notInternet, ip)
}

// errForbidden means that a webhook's host is where it must not be.
var errForbidden = errors.New("the host has an address that is not of the internet")

// A dialer connects to hosts that may be reached, and to no others. It resolves a name itself and connects to the very address that it has
// judged: a name that answers otherwise the next time (DNS rebinding) gains nothing.
type dialer struct {
	allow   []netip.Prefix
	resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(allow []netip.Prefix) *dialer {
	return &dialer{allow, net.DefaultResolver.LookupNetIP, (&net.Dialer{Timeout: dialFor}).DialContext}
}

// Times of the steps of one attempt, and of all together.
const (
	resolveFor   = 5 * time.Second
	dialFor      = 5 * time.Second
	handshakeFor = 5 * time.Second
	answerFor    = 10 * time.Second
	attemptFor   = 20 * time.Second
)

// connect dials host:port. secure says that TLS follows: without it only the operator's networks are reached.
func (d *dialer) connect(ctx context.Context, address string, secure bool) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := d.lookUp(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, ip := range addresses { // one that must not be reached speaks against the whole name
		if !d.allowed(ip, secure) {
			return nil, errForbidden
		}
	}
	err = fmt.Errorf("the host has no address: %w", errResolve)
	for _, ip := range addresses[:min(len(addresses), 4)] {
		var conn net.Conn
		if conn, err = d.dial(ctx, "tcp", net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// errResolve marks errors of names.
var errResolve = errors.New("resolve")

func (d *dialer) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveFor)
	defer cancel()
	list, err := d.resolve(ctx, "ip", host)
	if err != nil {
		return nil, errors.Join(errResolve, err)
	}
	for i := range list {
		if list[i].Is4In6() && list[i].Zone() == "" { // how some resolvers give IPv4
			list[i] = list[i].Unmap()
		}
	}
	return list, nil
}

// allowed is the one judgement about an address.
func (d *dialer) allowed(ip netip.Addr, secure bool) bool {
	if within(d.allow, ip) {
		return true
	}
	return secure && public(ip)
}
