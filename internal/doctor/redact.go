package doctor

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What is taken out of free text, and what stands in its place.
const (
	noURL     = "<url>"
	noMail    = "<mail>"
	noAddress = "<address>"
	noName    = "<name>"
	noPath    = "<path>"
	noText    = "<text>"
	noLong    = "<long>"
)

var (
	anURL  = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"')>\]]*`)
	aMail  = regexp.MustCompile(`[^\s"'<>()\[\],;:=]+@[^\s"'<>()\[\],;:=]+`)
	quoted = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`|'[^'\\s][^']*'")
	lookup = regexp.MustCompile(`\blookup \S+`)
	aMAC   = regexp.MustCompile(`(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,}\b|\b[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}\b`)
	anIPv4 = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?`)
	anIPv6 = regexp.MustCompile(`(?i)\[?[0-9a-f]*:[0-9a-f:]*:[0-9a-f:.]*(?:%[A-Za-z0-9._-]+)?(?:\]:\d+|\])?`)
	aPath  = regexp.MustCompile(`(?:^|[\s:=(,])(?:\.{0,2}|~)/[^\s:,)]*`)
	aName  = regexp.MustCompile(`[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9_-]*\.?(?::\d+)?`)
	long   = regexp.MustCompile(`[A-Za-z0-9+/_=-]{20,}`)
)

// plainNames have a dot and are of this program: keys of its configuration and files of its state directory.
var plainNames = []string{
	"orders.allow", "orders.hours", "orders.min_interval", "orders.daily_max", "orders.bundle", "metrics.listen", "metrics.web_config", "metrics.serial_label",
	"local.listen", "local.socket", "local.web_config", "local.names", "log.level", "log.format", "spool.max_bytes", "spool.flush", "uplink.broker", "uplink.max_rate", "uplink.addresses",
	"uplink.agent_id", "uplink.insecure", "uplink.tls", "uplink.tls.ca_file", "uplink.tls.cert_file", "uplink.tls.key_file", "store.db", "orders.db",
	"alarm.mute", "alarm.ack", "control.outlet", "configure.device", "diagnostics.run", "support.bundle", "order.cancel", "reboot.ups", "reboot.group", "firmware.upgrade",
}

// maxText bounds one piece of free text: an error of several lines of TLS is some hundred bytes.
const maxText = 1 << 10

// Redact takes out of free text what may be of somebody else: addresses, names of hosts, paths, mail addresses, whatever stood in quotation
// marks, and anything long enough to be a key. It takes out too much rather than too little: what is left are words and small numbers.
func Redact(s string) string {
	s = plain(s)
	s = anURL.ReplaceAllString(s, noURL)
	s = aMail.ReplaceAllString(s, noMail)
	s = quoted.ReplaceAllString(s, noText)
	s = lookup.ReplaceAllString(s, "lookup "+noName)
	s = aMAC.ReplaceAllString(s, noAddress)
	s = anIPv6.ReplaceAllStringFunc(s, func(m string) string {
		if isIPv6(m) {
			return noAddress
		}
		return m
	})
	s = anIPv4.ReplaceAllString(s, noAddress)
	s = aPath.ReplaceAllStringFunc(s, func(m string) string {
		if i := strings.IndexAny(m, "~./"); i >= 0 && !strings.HasPrefix(m[i:], "/dev/tty") {
			return m[:i] + noPath
		}
		return m
	})
	s = aName.ReplaceAllStringFunc(s, func(m string) string {
		if slices.Contains(plainNames, strings.TrimSuffix(m, ".")) {
			return m
		}
		return noName
	})
	return long.ReplaceAllString(s, noLong)
}

// isIPv6 reports whether something with colons is an address: what cannot be read and has letters is taken for one.
func isIPv6(m string) bool {
	text := strings.TrimPrefix(m, "[")
	if i := strings.IndexByte(text, ']'); i >= 0 {
		text = text[:i]
	}
	if _, err := netip.ParseAddr(strings.TrimRight(text, ":")); err == nil {
		return true
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return strings.ContainsAny(strings.ToLower(text), "abcdef") || strings.Count(text, ":") > 3
}

// plain makes one line of printable characters, at most maxText bytes.
func plain(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r == '\ufffd' {
			return ' '
		}
		return r
	}, s)
}

// Tail is the part of an address that may be told (PRIV-5): 10.20.30.40 is 30.40, 2001:db8::1 is 0:1; of a name of a host nothing is left. A
// port is left out.
func Tail(address string) string {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if ap, apErr := netip.ParseAddrPort(address); apErr == nil {
		ip, err = ap.Addr(), nil
	}
	if err != nil {
		return ""
	}
	ip = ip.Unmap()
	if ip.Is4() {
		b := ip.As4()
		return strconv.Itoa(int(b[2])) + "." + strconv.Itoa(int(b[3]))
	}
	b := ip.As16()
	return strconv.FormatInt(int64(b[12])<<8|int64(b[13]), 16) + ":" + strconv.FormatInt(int64(b[14])<<8|int64(b[15]), 16)
}
