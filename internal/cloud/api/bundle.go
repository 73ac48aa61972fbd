package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/bundle"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

const (
	gzipType = "application/gzip"
	// bodyWithin is how long the body of a bundle may take, whole (T-30): one of the greatest size comes in that at 70 kbit/s.
	bodyWithin = 2 * time.Minute
	// bundlesAtOnce are taken at a time: each is held in memory while it comes, and while it is sealed.
	bundlesAtOnce = 8
)

func (a *API) bundleRoutes() []route {
	const agent = "the certificate of the connection says who sends it"
	return []route{
		{method: http.MethodPut, pattern: "/api/v1/agents/self/bundles/{order}", why: agent, public: agent, read: a.putBundle, own: true},
		{method: http.MethodGet, pattern: "/api/v1/agents/self/bundles/{order}", why: agent, public: agent, read: a.hasBundle},
		{method: http.MethodGet, pattern: "/api/v1/orders/{id}/bundle", needs: policy.SupportBundle, read: a.takeBundle},
	}
}

// bundleBody is what is known of a bundle.
type bundleBody struct {
	Order  string `json:"order"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Stored Time   `json:"stored_at"`
	Ends   Time   `json:"ends_at"`
}

func showBundle(b *bundle.Stored) bundleBody {
	return bundleBody{b.Order, b.SHA256, b.Size, Time(b.At), Time(b.Ends)}
}

// agent returns the agent of the connection's certificate.
func (a *API) agent(q *Request) (string, error) {
	if q.TLS == nil || len(q.TLS.PeerCertificates) == 0 {
		return "", cloud.Refuse(policy.Unauthenticated, "this is for agents: connect with the agent's certificate")
	}
	return a.cfg.Agents.Authorize(q.TLS.PeerCertificates[0])
}

func (a *API) putBundle(q *Request) (Answer, error) {
	agent, err := a.agent(q)
	if err != nil {
		return Answer{}, err
	}
	if q.Header.Get("Content-Type") != gzipType {
		return Answer{}, cloud.Refuse(policy.Malformed, "a support bundle is sent with Content-Type: %s", gzipType)
	}
	want, err := contentDigest(q.Header.Values("Content-Digest"))
	if err != nil {
		return Answer{}, err
	}
	id := q.PathValue("order")
	var had *bundle.Stored
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		had, err = a.cfg.Bundles.Expect(ctx, tx, agent, id, want)
		return err
	})
	if err != nil || had != nil {
		return Answer{Body: bundleOrNil(had)}, err
	}
	select {
	case a.bundles <- struct{}{}:
		defer func() { <-a.bundles }()
	default:
		return Answer{}, &cloud.Error{Reason: policy.RateLimit, Detail: "too many support bundles come at once", Retry: 10 * time.Second}
	}
	data, err := a.readBundle(q, want)
	if err != nil {
		return Answer{}, err
	}
	var kept *bundle.Stored
	fresh := false
	err = q.DB().Write(q.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		if org, err := a.cfg.Agents.OrgOf(ctx, tx, agent); err != nil || org == "" {
			return errors.Join(err, cloud.Refuse(policy.Unauthenticated, "the agent was removed"))
		}
		kept, fresh, err = a.cfg.Bundles.Put(ctx, tx, agent, id, want, data)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	status := http.StatusOK
	if fresh {
		status = http.StatusCreated
	}
	return Answer{Status: status, Body: showBundle(kept)}, nil
}

func bundleOrNil(b *bundle.Stored) any {
	if b == nil {
		return nil
	}
	return showBundle(b)
}

// readBundle reads a body in bounded time and size, and holds it against the digest that was announced. It is not unpacked: its first two bytes
// alone are looked at.
func (a *API) readBundle(q *Request, want string) ([]byte, error) {
	if q.ContentLength > bundle.MaxBytes {
		return nil, cloud.Refuse(policy.TooLarge, "a support bundle has at most %d bytes", bundle.MaxBytes)
	}
	_ = http.NewResponseController(q.W).SetReadDeadline(time.Now().Add(a.bodyWithin)) // a connection that cannot be given one is a test's
	data, err := io.ReadAll(http.MaxBytesReader(q.W, q.Body, bundle.MaxBytes))
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		return nil, cloud.Refuse(policy.TooLarge, "a support bundle has at most %d bytes", bundle.MaxBytes)
	} else if err != nil {
		q.W.Header().Set("Connection", "close")
		return nil, cloud.Refuse(policy.Malformed, "the body did not come whole, or not in time")
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
		return nil, cloud.RefuseField(policy.Malformed, "Content-Digest", "it is not that of the body")
	}
	if !strings.HasPrefix(string(data), "\x1f\x8b") { // RFC 1952, section 2.3.1
		return nil, cloud.Refuse(policy.Malformed, "the body is not what gzip makes")
	}
	return data, nil
}

// contentDigest reads the header of RFC 9530 in the one form that is taken: sha-256 alone. It returns hexadecimal digits.
func contentDigest(values []string) (string, error) {
	wrong := cloud.RefuseField(policy.Malformed, "Content-Digest", "it is to be sha-256=:…:, the digest of the body in base64")
	if len(values) != 1 {
		return "", wrong
	}
	text, begins := strings.CutPrefix(values[0], "sha-256=:")
	text, ends := strings.CutSuffix(text, ":")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	if !begins || !ends || err != nil || len(sum) != sha256.Size || base64.StdEncoding.EncodeToString(sum) != text {
		return "", wrong
	}
	return hex.EncodeToString(sum), nil
}

func (a *API) hasBundle(q *Request) (answer Answer, err error) {
	agent, err := a.agent(q)
	if err != nil {
		return Answer{}, err
	}
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		b, err := a.cfg.Bundles.Has(ctx, tx, agent, q.PathValue("order"))
		if err == nil {
			answer.Body = showBundle(b)
		}
		return err
	})
	return answer, err
}

func (a *API) takeBundle(q *Request) (Answer, error) {
	id := q.PathValue("id")
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		return a.cfg.Bundles.Refused(ctx, tx, q.Actor, id, refusal)
	}
	var b *bundle.Stored
	var data []byte
	err := q.DB().Write(q.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		if b, data, err = a.cfg.Bundles.Take(ctx, tx, q.Actor, id); err != nil {
			return err
		}
		return q.spend(ctx, tx, changesBy) // an entry is kept for ever
	})
	if err != nil {
		return Answer{}, err
	}
	return Answer{
		Status: http.StatusOK,
		Header: map[string]string{
			"Content-Type": gzipType, "Content-Disposition": fmt.Sprintf(`attachment; filename="support-%s.tar.gz"`, b.Order[:min(len(b.Order), 8)]),
			"Content-Length": fmt.Sprint(len(data)), "X-Content-SHA256": b.SHA256,
		},
		Stream: func(_ context.Context, w http.ResponseWriter) error {
			_, err := w.Write(data)
			return err
		},
	}, nil
}
