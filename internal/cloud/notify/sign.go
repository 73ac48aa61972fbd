package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// The headers and the signature of a webhook are those of the Standard Webhooks convention, for which receivers have libraries.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"

	secretPrefix = "whsec_" // a secret begins so, to be found by who looks for secrets in the wrong place
)

// signature signs id, time and body with a secret: "v1," and HMAC-SHA256 in base64.
func signature(secret, id string, at time.Time, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		key = []byte(secret) // ours always decode
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// signatures are those of all secrets of a webhook that hold at an instant, with a space between: a receiver takes the one that fits.
func signatures(r *Recipient, id string, at time.Time, body string) string {
	all := signature(r.Secret, id, at, body)
	if r.oldSecret != "" && at.Before(r.oldUntil) {
		all += " " + signature(r.oldSecret, id, at, body)
	}
	return all
}
