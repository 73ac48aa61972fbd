package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"upsedge/internal/config"
)

// lookupWithin bounds one look-up: a resolver that is not there is asked twice, with two seconds each.
const lookupWithin = 4 * time.Second

// LookAtNetwork says whether this box has one. needed: units or an uplink are beyond it.
func (r Root) LookAtNetwork(needed bool) []Finding {
	switch {
	case !needed:
		return []Finding{{Level: OK, What: "none is needed"}}
	case !r.linked():
		return []Finding{{Level: Problem, At: network, What: "no network interface of this box is up", Do: "plug in the network cable, or bring the interface up: ip link"}}
	}
	return []Finding{{Level: OK, What: "an interface is up"}}
}

// LookAtNames says whether names can be looked up. Addresses need no look-up. dns is nil for the system's.
func (r Root) LookAtNames(ctx context.Context, hosts []string, dns *net.Resolver) (out []Finding) {
	if dns == nil {
		dns = &net.Resolver{PreferGo: true}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	seen := map[string]bool{}
	for _, host := range hosts {
		if host == "" || seen[host] || net.ParseIP(host) != nil {
			continue
		}
		seen[host] = true
		f := Finding{Level: OK, Of: host, At: HostAt(host)}
		addrs, err := dns.LookupHost(ctx, host)
		if err != nil {
			f.Level = Problem
			f.What, f.Do = r.unnamed(host, err)
		} else {
			f.What = "it is " + strings.Join(addrs[:min(len(addrs), 3)], ", ")
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		out = append(out, Finding{Level: OK, What: "no name has to be looked up"})
	}
	return out
}

// unnamed says why a name is not known.
func (r Root) unnamed(host string, err error) (what, do string) {
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		return "no name server knows the name " + host, "is it spelt right? " + r.servers()
	case errors.As(err, &d) && d.IsTimeout:
		return "no name server answers", "is this box allowed out to port 53? " + r.servers()
	}
	return fmt.Sprintf("the name cannot be looked up: %v", err), r.servers()
}

// servers names those of resolv.conf(5).
func (r Root) servers() string {
	var all []string
	for line := range strings.Lines(string(read(r.path("etc/resolv.conf")))) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			all = append(all, f[1])
		}
	}
	if len(all) == 0 {
		return "/etc/resolv.conf names no server: the network gives none (resolvectl, nmcli)"
	}
	return "/etc/resolv.conf asks " + strings.Join(all, ", ") + ": getent hosts NAME tries it"
}

// linked reports whether an interface beside loopback is up, or may be: some drivers do not say.
func (r Root) linked() bool {
	if r == "/" { // asked of the kernel itself: /sys may show another network's
		all, err := net.Interfaces()
		return err != nil || slices.ContainsFunc(all, func(i net.Interface) bool { return i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagRunning != 0 })
	}
	names, _ := filepath.Glob(r.path("sys/class/net/*/operstate"))
	for _, n := range names {
		state := strings.TrimSpace(string(read(n)))
		if filepath.Base(filepath.Dir(n)) != "lo" && (state == "up" || state == "unknown") {
			return true
		}
	}
	return len(names) == 0
}

// LookAtListeners says who can reach the pages of the agent, and while it does not run, whether it could have its addresses.
func (r Root) LookAtListeners(cfg *config.Config, running bool) (out []Finding) {
	for _, l := range []struct{ key, addr, web, open, do string }{
		{"metrics.listen", cfg.Metrics.Listen, cfg.Metrics.WebConfig, "anybody in the network can read the metrics", "metrics.web_config adds TLS and a password; 127.0.0.1 keeps it to this box"},
		{"local.listen", cfg.Local.Listen, cfg.Local.WebConfig, "anybody in the network can read the status page, serial numbers included", "local.web_config adds TLS and a password; 127.0.0.1:9812 keeps it to this box: ssh -L 9812:127.0.0.1:9812 THIS-BOX"},
	} {
		host, _, err := net.SplitHostPort(l.addr)
		if err != nil {
			continue
		}
		f := Finding{Level: OK, Of: l.key, What: "at " + l.addr}
		if !loopback(host) && l.web == "" {
			f.Level, f.What, f.Do = Note, "at "+l.addr+" "+l.open, l.do
		}
		if !running {
			if why := taken(l.addr); why != "" {
				f.Level, f.What, f.Do = Problem, l.addr+" "+why, "another address in the configuration, or \"\" for none; who has it: sudo ss -ltnp"
			}
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		out = append(out, Finding{Level: OK, What: "no page and no metrics are shown"})
	}
	return out
}

// taken says why nobody could listen at an address now, "" where one could.
func taken(addr string) string {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		_ = l.Close()
		return ""
	case errors.Is(err, syscall.EADDRINUSE):
		return "is in use by another program"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "is no address of this box"
	case errors.Is(err, syscall.EACCES):
		return "" // ports below 1024 are the service's to try
	}
	return "cannot be had: " + err.Error()
}
