package doctor

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestT67FreeTextLosesWhatMayBeSomebodyElses(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 10.20.30.40:502: connect: connection refused":                        "dial tcp <address>: connect: connection refused",
		"dial tcp [2001:db8::1]:502: no route to host":                                 "dial tcp <address>: no route to host",
		"read fe80::1%eth0: timeout":                                                   "read <address>: timeout",
		"neighbour 00:11:22:aa:bb:cc and 0011.22aa.bbcc":                               "neighbour <address> and <address>",
		"lookup printer on 10.0.0.1:53: no such host":                                  "lookup <name> on <address>: no such host",
		"lookup cloud.example: i/o timeout":                                            "lookup <name> i/o timeout",
		"tls: certificate is valid for mail.corp.example, not cloud.example:8883":      "tls: certificate is valid for <name>, not <name>",
		"Get https://ann:secret@cloud.example/x?token=1 failed":                        "Get <url> failed",
		"mail to ann.smith@site.example bounced":                                       "mail to <mail> bounced",
		"open /home/ann/agent.yaml: permission denied":                                 "open <path>: permission denied",
		"open /dev/ttyUSB0: permission denied":                                         "open /dev/ttyUSB0: permission denied",
		`user "Ann Smith" said 'no way'`:                                               "user <text> said <text>",
		"key MHcCAQEEIIGZbLrRZ2mL6vOw1Xo0vLQ9m3Yk is wrong":                            "key <long> is wrong",
		"orders.allow does not name it, at 12:30:05 for 3.75 s of v1.2.3":              "orders.allow does not name it, at 12:30:05 for 3.75 s of v1.2.3",
		"two\nlines\x00 and \u202e back":                                               "two lines  and   back",
		"store.db: database or disk is full (13)":                                      "store.db: database or disk is full (13)",
		"read registers 2048-2061 of unit 1: timed out after 400ms":                    "read registers 2048-2061 of unit 1: timed out after 400ms",
		"x509: “ann's laptop” is not trusted: ::ffff:10.1.2.3, 10.1.2.3.":              "x509: “ann's laptop” is not trusted: <address>, <address>.",
		"the last one was 1m30s ago, orders.min_interval is 2m0s, orders.example is x": "the last one was 1m30s ago, orders.min_interval is 2m0s, <name> is x",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q\n is %q\nwant %q", text, got, want)
		}
	}
}

// PRIV-5.
func TestPRIV5TheTailOfAnAddress(t *testing.T) {
	for address, want := range map[string]string{
		"10.20.30.40": "30.40", "10.20.30.40:502": "30.40", "2001:db8::1": "0:1", "[2001:db8::1]:502": "0:1", "::ffff:10.1.2.3": "2.3", "cloud.example:8883": "", "": "",
	} {
		if got := Tail(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// FuzzRedact: whatever it is given, no whole address, no mail address and no more than one line come out, and it comes to an end.
func FuzzRedact(f *testing.F) {
	f.Add("dial tcp 10.20.30.40:502: x@y")
	f.Add("[fe80::1%eth0]:1 \xff 'a' \"b\\\"c\"")
	f.Add("a@b@c..d://e 1.2.3.4.5.6.7.8")
	f.Fuzz(func(t *testing.T, text string) {
		got := Redact(text)
		if anIPv4.MatchString(got) || aMAC.MatchString(got) || aMail.MatchString(got) || strings.Contains(got, "://") || strings.ContainsAny(got, "\n\r\x00") || !utf8.ValidString(got) {
			t.Errorf("%q is %q", text, got)
		}
	})
}
