package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A Trouble is what kind of reason an attempt to connect, or a session, ended for.
type Trouble uint8

// The kinds of trouble.
const (
	Unreached  Trouble = iota // nobody there, no answer, a line that broke: it may pass by itself
	Distrusted                // we refused the broker's certificate, or the TLS it speaks
	Rejected                  // the broker refused us: our certificate, our name, our rights
)

// A Failure is why an attempt to connect, or a session, ended.
type Failure struct {
	Trouble Trouble
	Words   string // in plain words; no address and no name in them. "" where there are none
}

// failureOf says what an error of the connection is.
func failureOf(err error) Failure {
	for _, e := range explanations {
		if e.is(err) {
			return Failure{e.trouble, e.words}
		}
	}
	var h *handshakeError
	if errors.As(err, &h) && h.verified && isType[*net.OpError](err) {
		return Failure{Rejected, "the broker ends the handshake when it sees our certificate, or none"}
	}
	return Failure{}
}

// explain says in plain words what an error of the connection means for the person who reads the log, with the error itself
// behind it where that adds something.
func explain(err error) string {
	if f := failureOf(err); f.Words != "" {
		return f.Words + ": " + err.Error()
	}
	return err.Error()
}

// explanations: the first that fits counts.
var explanations = []struct {
	trouble Trouble
	words   string
	is      func(error) bool
}{
	{Rejected, "the broker refuses our credentials (CONNACK 4)", isErr(packets.ErrorRefusedBadUsernameOrPassword)},
	{Rejected, "the broker does not allow this agent (CONNACK 5)", isErr(packets.ErrorRefusedNotAuthorised)},
	{Rejected, "the broker refuses our client identifier (CONNACK 2)", isErr(packets.ErrorRefusedIDRejected)},
	{Unreached, "the broker is not ready (CONNACK 3)", isErr(packets.ErrorRefusedServerUnavailable)},
	{Unreached, "the broker does not speak MQTT 3.1.1 (CONNACK 1)", isErr(packets.ErrorRefusedBadProtocolVersion)},
	{Rejected, "the broker asks for a certificate, see uplink.tls.cert_file", isAlert(alertCertificateRequired)},
	{Rejected, "the broker rejects our certificate", isAlert(
		alertBadCertificate, alertUnsupportedCertificate, alertCertificateRevoked, alertCertificateExpired,
		alertCertificateUnknown, alertUnknownCA, alertAccessDenied)},
	{Distrusted, "the broker's certificate is not signed by an authority we trust, see uplink.tls.ca_file", isUnknownAuthority},
	{Distrusted, "the broker's certificate is for another name", isType[x509.HostnameError]},
	{Distrusted, "the broker's certificate is not valid now, or this box's clock is wrong", isExpired},
	{Distrusted, "the broker's certificate was out of date", isErr(errDates)},
	{Distrusted, "the broker's TLS is too old or too weak: the least is TLS 1.2 with forward secrecy", isTooWeak},
	{Distrusted, "the broker's certificate is not acceptable", isType[*tls.CertificateVerificationError]},
	{Unreached, "the broker does not speak TLS on this port", isType[tls.RecordHeaderError]},
	{Unreached, "this is no sound broker", isType[*PeerError]},
	{Rejected, "this agent may not read its own topics", isErr(errRefusedSubscription)},
	{Unreached, "nobody listens at the broker's address", isErr(syscall.ECONNREFUSED)},
	{Unreached, "the broker's name cannot be looked up", isType[*net.DNSError]},
	{Unreached, "the broker closed the connection, as it also does when another client takes our identifier", isErr(io.EOF)},
	{Unreached, "the broker has fallen silent", func(err error) bool { return strings.HasPrefix(err.Error(), "pingresp not received") }}, // the library's
	{Unreached, "the broker takes no data", func(err error) bool { var e net.Error; return errors.As(err, &e) && e.Timeout() }},
}

// Alerts of TLS about certificates and about what the two ends have in common. Source: RFC 8446, 6.2.
const (
	alertHandshakeFailure       tls.AlertError = 40
	alertBadCertificate         tls.AlertError = 42
	alertUnsupportedCertificate tls.AlertError = 43
	alertCertificateRevoked     tls.AlertError = 44
	alertCertificateExpired     tls.AlertError = 45
	alertCertificateUnknown     tls.AlertError = 46
	alertUnknownCA              tls.AlertError = 48
	alertAccessDenied           tls.AlertError = 49
	alertProtocolVersion        tls.AlertError = 70
	alertInsufficientSecurity   tls.AlertError = 71
	alertCertificateRequired    tls.AlertError = 116
)

func isErr(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isType[T error](err error) bool {
	var e T
	return errors.As(err, &e)
}

func isAlert(alerts ...tls.AlertError) func(error) bool {
	return func(err error) bool {
		for _, a := range alerts {
			if errors.Is(err, a) || isRemote(err, a) {
				return true
			}
		}
		return false
	}
}

// isRemote finds an alert the peer sent: crypto/tls wraps it in a net.OpError, as a type of its own with the same text.
func isRemote(err error, a tls.AlertError) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err != nil && op.Err.Error() == a.Error()
}

// isTooWeak finds a peer with which nothing is in common that is good enough: it says so before its certificate was seen, or chose
// what was not offered, for which crypto/tls has no type.
func isTooWeak(err error) bool {
	var h *handshakeError
	if !errors.As(err, &h) || h.verified {
		return false
	}
	return isAlert(alertHandshakeFailure, alertProtocolVersion, alertInsufficientSecurity)(err) ||
		strings.Contains(err.Error(), "unsupported protocol version") || strings.Contains(err.Error(), "unconfigured cipher suite")
}

func isUnknownAuthority(err error) bool { return isType[x509.UnknownAuthorityError](err) }

func isExpired(err error) bool {
	var e x509.CertificateInvalidError
	return errors.As(err, &e) && e.Reason == x509.Expired
}
