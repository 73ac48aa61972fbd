package order

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// An agentRow is what delivery knows of an agent.
type agentRow struct {
	name    string
	counter uint64
	session uint64
	nonce   wire.ID
	stated  uint64 // session
	allow   string // JSON; "": not told
	rules   string // JSON of siteRules; "": not told
	// confirmed is the epoch and grant version, by serial number, that the agent says it has.
	confirmed map[string]confirmed
}

type confirmed struct {
	epoch uint32
	grant uint64
	drops drops
}

// ready reports whether the agent has accepted a statement in its present session.
func (a *agentRow) ready() bool { return a.session != 0 && a.stated == a.session }

// agent reads an agent; the zero row of one that was never heard.
func loadAgent(ctx context.Context, tx *store.Tx, name string) (*agentRow, error) {
	a := &agentRow{name: name, confirmed: map[string]confirmed{}}
	var nonce []byte
	err := tx.QueryRow(ctx, `SELECT counter, session, nonce, stated, allow, rules FROM order_agents WHERE agent = $1`, name).
		Scan(&a.counter, &a.session, &nonce, &a.stated, &a.allow, &a.rules)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	copy(a.nonce[:], nonce)
	rows, err := tx.Query(ctx, `SELECT serial, epoch, grant_version, drop_at, drops_left FROM order_confirmed WHERE agent = $1`, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var serial string
		var c confirmed
		var at int64
		if err := rows.Scan(&serial, &c.epoch, &c.grant, &at, &c.drops.left); err != nil {
			return nil, err
		}
		c.drops.at = store.Instant(at)
		a.confirmed[serial] = c
	}
	return a, rows.Err()
}

// Session is ingest's sink of that name: a session began, or its nonce was renewed.
func (b *Book) Session(ctx context.Context, tx *store.Tx, agent string, session uint64, nonce wire.ID, _ time.Time) error {
	a, err := loadAgent(ctx, tx, agent)
	if err != nil {
		return err
	}
	if a.session != session {
		if err := b.left(ctx, tx, agent); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO order_agents (agent, counter, session, nonce, stated, allow) VALUES ($1, COALESCE((SELECT o.counter FROM order_agents o WHERE o.agent = ''), 0), $2, $3, 0, '')
		ON CONFLICT (agent) DO UPDATE SET stated = CASE WHEN order_agents.session = excluded.session THEN order_agents.stated ELSE 0 END,
			session = excluded.session, nonce = excluded.nonce`, agent, session, nonce[:])
	if err != nil {
		return err
	}
	heard := b.now() // with its monotonic part
	tx.After(func() {
		b.mu.Lock()
		b.live[agent] = live{session, nonce, heard}
		delete(b.renewal, agent) // the session gets a statement of its own
		b.mu.Unlock()
		b.wake()
	})
	return nil
}

// State is ingest's sink of that name: the agent has accepted the statement of its session, and says what it has stored of it.
func (b *Book) State(ctx context.Context, tx *store.Tx, agent string, full *wire.FullState, at time.Time) error {
	a, err := loadAgent(ctx, tx, agent)
	if err != nil {
		return err
	}
	allow, err := json.Marshal(full.Allow)
	if err != nil {
		return err
	}
	rules, err := rulesOf(full)
	if err != nil {
		return err
	}
	news := a.stated != a.session
	if news || a.allow != string(allow) || a.rules != rules {
		if _, err := tx.Exec(ctx, `UPDATE order_agents SET stated = session, allow = $1, rules = $2 WHERE agent = $3`, string(allow), rules, agent); err != nil {
			return err
		}
	}
	own, err := devicesOf(ctx, tx, agent)
	if err != nil {
		return err
	}
	behind := ""
	for _, u := range full.Units {
		had := a.confirmed[u.Serial]
		has := confirmed{u.Epoch, min(u.GrantVersion, mostVersion), dropsOf(u.Drops, at)}
		same := had.epoch == has.epoch && had.grant == has.grant
		d := own[u.Serial]
		if d == nil || same && had.drops.same(has.drops) {
			continue
		}
		news = news || !same
		if !same && (has.epoch > d.Epoch || has.epoch == d.Epoch && has.grant > d.GrantVersion) {
			behind = u.Serial
		}
		_, err := tx.Exec(ctx, `INSERT INTO order_confirmed (agent, serial, epoch, grant_version, drop_at, drops_left) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (agent, serial) DO UPDATE SET epoch = excluded.epoch, grant_version = excluded.grant_version, drop_at = excluded.drop_at,
			drops_left = excluded.drops_left`, agent, u.Serial, has.epoch, has.grant, store.Millis(has.drops.at), has.drops.left)
		if err != nil {
			return err
		}
	}
	if behind != "" { // its word alone: it moves no number
		tx.After(func() {
			b.log.Warn("an agent remembers later rights than this database has; if it was put back from a backup: stop, upscloud restored, start", "agent", agent, "serial", behind)
		})
	}
	if news {
		tx.After(func() {
			b.wake()
			signal(b.changed)
			b.tellChange() // the agent may be one that is waited for
		})
	}
	return nil
}

// mostVersion is the highest grant version that is believed to have been confirmed: an agent says what it likes, and the column has 63 bits.
const mostVersion = 1 << 62

// devicesOf returns the devices that live behind an agent by their serial numbers: what it says of other units is of no use to orders, and is
// not kept (T-30).
func devicesOf(ctx context.Context, tx *store.Tx, agent string) (map[string]*device.Device, error) {
	devices, err := device.OfAgent(ctx, tx, agent)
	own := map[string]*device.Device{}
	for i := range devices {
		own[devices[i].Serial] = &devices[i]
	}
	return own, err
}

// obeys reports whether the site's own rules let orders of the action through; true where the agent has not said yet.
func (a *agentRow) obeys(action policy.Action) bool {
	if a.allow == "" || action.Group() == "" {
		return true
	}
	var allow []string
	_ = json.Unmarshal([]byte(a.allow), &allow) // written by State
	return slices.Contains(allow, string(action.Group()))
}
