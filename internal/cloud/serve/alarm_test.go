package serve

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/mailsink"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A ringing is a control plane with a unit of ada's (owner), shared with bob, and where letters and webhooks arrive.
type ringing struct {
	*life
	mails *mailsink.Sink
	hooks chan string // paths of what was taken
	url   string
	bob   cloud.Actor
	send  func(kind ups.EventKind)
}

func newRinging(t *testing.T, c store.Config) *ringing {
	r := &ringing{mails: &mailsink.Sink{}, hooks: make(chan string, 64), bob: actorOf("bob")}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.mails.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		r.hooks <- q.URL.Path
	}))
	t.Cleanup(hook.Close)
	r.url = hook.URL
	r.life = liveWith(t, c, func(cfg *Config) {
		cfg.Mail = mail.Config{Server: ln.Addr().String(), TLS: mail.TLSNone, From: "cloud@ups.example"}
		cfg.NotifyNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	agent, cert := r.enrol()
	r.write(func(ctx context.Context, tx *store.Tx) error {
		for _, who := range []cloud.Actor{owner, r.bob} {
			for _, q := range []string{
				`INSERT INTO organisations (id, name, created_at) VALUES ($1, 'x', 1) ON CONFLICT DO NOTHING`,
				`INSERT INTO identities (id, email, email_key, password, verified_at, created_at) VALUES ('s_' || $1, $1 || '@example.com', $1 || '@example.com', '', 1, 1)`,
			} {
				if _, err := tx.Exec(ctx, q, who.Org); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, `INSERT INTO accounts (id, identity, actor, org, name, operator, created_at) VALUES ($1, 's_' || $2, $3, $2, 'x', 0, 1)`,
				who.Account, who.Org, who.Ref); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ('d_1', 'AS1', 1, $1, $2, $3, 'rack', 'advanced', $4, 1, 1)`, agent, owner.Account, owner.Org, device.Forever.UnixMilli())
		return err
	})
	r.send = r.sender(agent, cert)
	return r
}

// sender publishes alarms as the agent does, each behind its acknowledgement.
func (r *ringing) sender(agent string, cert tls.Certificate) func(ups.EventKind) {
	o := mqtt.NewClientOptions().AddBroker("ssl://" + r.Server.mqtt.Addr().String()).SetClientID(agent).SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}) //nolint:gosec // whom we talk to is not what is tested
	c := mqtt.NewClient(o)
	token := c.Connect()
	token.Wait()
	must(r, token.Error())
	r.Cleanup(func() { c.Disconnect(0) })
	seq := uint64(0)
	return func(kind ups.EventKind) {
		r.Helper()
		e := ups.Event{ID: 101, Kind: kind, Severity: ups.Warning, Unit: "a", Device: "AS1", Text: "UPS on battery"}
		body, err := wire.EncodeEvent(e)
		must(r, err)
		seq++
		rec := wire.Record{Lane: wire.Events, Seq: seq, Class: wire.ClassAlarm, Payload: body, Stream: wire.ID{9}, Epoch: 1, Boot: 1}
		rec.Stamp = wire.Stamp{BootID: wire.ID{7}, Mono: time.Duration(seq) * time.Second, Wall: time.Now()}
		msg, err := wire.EventMessage(nil, agent, rec)
		must(r, err)
		token := c.Publish(wire.Topic(agent, rec.Class.Leaf()), 1, false, msg)
		if !token.WaitTimeout(30 * time.Second) {
			r.Fatal("the alarm was not acknowledged")
		}
		must(r, token.Error())
	}
}

// policyOf has an account told of the unit: at its own address and at the webhook /<org>.
func (r *ringing) policyOf(who cloud.Actor) {
	r.Helper()
	r.write(func(ctx context.Context, tx *store.Tx) error {
		p, err := r.notify.Create(ctx, tx, who, notify.Policy{Name: "all", Enabled: true, Selection: notify.Selection{Least: ups.Informational, Raised: true}})
		if err != nil {
			return err
		}
		if err := r.notify.AddDevice(ctx, tx, who, p.ID, "d_1"); err != nil {
			return err
		}
		_, err = r.notify.AddRecipient(ctx, tx, who, p.ID, notify.KindWebhook, r.url+"/"+who.Org)
		return err
	})
}

// told waits until n alarms have come to an account, by mail and by webhook. hooked are all webhooks so far.
func (r *ringing) told(who cloud.Actor, n int, hooked map[string]int) {
	r.Helper()
	alarms := func() (n int) {
		for _, m := range r.mails.Mails() {
			if m.To == who.Org+"@example.com" && strings.Contains(m.Header.Get("Subject"), "on battery") {
				n++
			}
		}
		return n
	}
	r.until(who.Org+" is told", func() bool {
		for {
			select {
			case path := <-r.hooks:
				hooked[path]++
				continue
			default:
			}
			return alarms() >= n && hooked["/"+who.Org] >= n
		}
	})
	if alarms() != n || hooked["/"+who.Org] != n {
		r.Errorf("%s: %d letters, %d webhooks, want %d of each", who.Org, alarms(), hooked["/"+who.Org], n)
	}
}

// NOTE-1, NOTE-2, PLAN-7, PERM-4: an alarm of an agent comes to owner and shared user by mail and webhook, through the whole of serve; on Basic to
// nobody, nor afterwards; to who was revoked never again.
func TestNOTE2AnAlarmGoesFromTheAgentToWhoMayBeTold(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		r := newRinging(t, c)
		var share *device.Grant
		r.write(func(ctx context.Context, tx *store.Tx) error {
			d, err := device.Get(ctx, tx, "d_1")
			if err != nil {
				return err
			}
			share, err = r.devices.Share(ctx, tx, d, r.bob.Account, r.bob.Ref, "o_bob@example.com")
			return err
		})
		r.policyOf(owner)
		r.policyOf(r.bob)
		hooked := map[string]int{}
		r.send(ups.Raise)
		r.told(owner, 1, hooked)
		r.told(r.bob, 1, hooked)

		o, err := OpenOperator(t.Context(), r.cfg)
		must(t, err)
		defer o.Close()
		set := func(p policy.Plan) {
			_, _, err := o.SetPlan(t.Context(), "AS1", p, device.Forever)
			must(t, err)
		}
		set(policy.Basic)
		r.send(ups.Raise)
		set(policy.Advanced)
		r.write(func(ctx context.Context, tx *store.Tx) error {
			return r.devices.Revoke(ctx, tx, owner, "d_1", share.ID)
		})
		r.send(ups.Raise)
		r.told(owner, 2, hooked)
		if hooked["/o_bob"] != 1 || r.count(`SELECT COUNT(*) FROM notification_deliveries WHERE account = $1`, r.bob.Account) != 2 {
			t.Errorf("who was revoked was told: %v", hooked)
		}
		must(t, r.end())
	})
}

// TestT07AnOrderThatDropsTheLoadIsNoSecret: the server as it is wired tells the owner and who shares the unit; a self-test, which drops
// nothing, is told to nobody.
func TestT07AnOrderThatDropsTheLoadIsNoSecret(t *testing.T) {
	r := newRinging(t, storetest.SQLite(t))
	r.write(func(ctx context.Context, tx *store.Tx) error {
		for _, o := range []order.Request{
			{Device: "d_1", Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}}, {Device: "d_1", Action: policy.RebootUPS},
		} {
			if _, err := r.orders.Create(ctx, tx, owner, o); err != nil {
				return err
			}
		}
		return nil
	})
	m, err := r.mails.Wait(t.Context(), owner.Org+"@example.com", 1)
	if err != nil || !strings.Contains(m.Text, "switch everything it feeds off and on again") {
		t.Errorf("%v; the owner is told first of all\n%s", err, m.Text)
	}
}
