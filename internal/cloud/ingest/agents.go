package ingest

import (
	"context"
	"database/sql"
	"time"

	"upsedge/internal/wire"
)

// heartbeat is how often an agent is heard at least; after silentAfter of them without a message it counts as silent
// (event catalogue, 840).
const (
	heartbeat   = time.Minute
	silentAfter = 3 * heartbeat
)

// An agent is what is known of one.
type agent struct {
	name    string
	heard   time.Time // when something of it came last
	silent  bool      // event 840 is raised
	online  bool      // as it said itself
	session uint64    // the current one, 0: none yet
	nonce   wire.ID
	fell    bool    // the number of the session was lower than that of the one before: only a new stream explains that
	stream  wire.ID // of its last full state
}

// agent returns an agent, a new one if need be, and notes that it was heard; nil when there are too many.
func (b *batch) agent(name string) *agent {
	a := b.cache.agents[name]
	if a == nil {
		a = b.loadAgent(name)
	}
	if a == nil || b.err != nil {
		return nil
	}
	b.cache.agents[name] = a
	// A second is enough: what is measured are minutes.
	if b.now.Sub(a.heard).Abs() >= time.Second {
		a.heard = b.now
		b.exec(`UPDATE agents SET heard = $1 WHERE name = $2`, millis(b.now), name)
	}
	if a.silent {
		a.silent = false
		b.exec(`UPDATE agents SET silent = 0 WHERE name = $1`, name)
		b.endNotice(name, Silent, "")
		if a.online {
			b.tellPresence(name, true)
		}
	}
	return a
}

func (b *batch) loadAgent(name string) *agent {
	a := &agent{name: name, heard: b.now}
	var heard int64
	var silent, online, fell int
	var nonce, stream []byte
	found := b.one(`SELECT heard, silent, online, session, nonce, fell, stream FROM agents WHERE name = $1`, []any{name},
		&heard, &silent, &online, &a.session, &nonce, &fell, &stream)
	if found {
		a.heard, a.silent, a.online, a.fell = fromMillis(heard), silent != 0, online != 0, fell != 0
		a.nonce, a.stream = id(nonce), id(stream)
		return a
	}
	if b.r.agents.Load() >= maxAgents {
		return nil
	}
	b.tx.After(func() { b.r.agents.Add(1) })
	none := []byte{}
	b.exec(`INSERT INTO agents (name, holder, known, heard, silent, online, session, nonce, began, fell, stream, version, state, host)
		VALUES ($1, $2, $3, $3, 0, 0, 0, $4, 0, 0, $4, '', $4, $4)`, name, b.r.number, millis(b.now), none)
	return a
}

// Listening tells whether messages can come now. While they cannot, nobody counts as silent, and the silence before counts no more.
func (r *Receiver) Listening(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !on:
		r.listening = time.Time{}
	case r.listening.IsZero():
		r.listening = r.o.Now()
	}
}

// Watch raises event 840 for every agent that was silent for three heartbeats (TIME-4). It is to be called every few seconds, by each
// process: it asks the database, which knows what the others have heard.
func (r *Receiver) Watch(ctx context.Context) error {
	r.mu.Lock()
	now, since := r.o.Now(), r.listening
	r.mu.Unlock()
	if since.IsZero() || now.Sub(since) < silentAfter {
		return nil
	}
	silent, err := r.Reader().silent(ctx, now.Add(-silentAfter))
	if err != nil || len(silent) == 0 {
		return err
	}
	_, err = r.commit(ctx, silent, func(b *batch) {
		for _, name := range silent {
			b.fallSilent(name)
		}
	})
	return err
}

// fallSilent raises the event, unless the agent has been heard meanwhile.
func (b *batch) fallSilent(name string) {
	if b.exec(`UPDATE agents SET silent = 1 WHERE name = $1 AND silent = 0 AND heard <= $2`, name, millis(b.now.Add(-silentAfter))) == 0 {
		return
	}
	b.notice(name, Silent, "", "nothing heard for 3 heartbeats")
	b.cache.forget(name)
	if a := b.loadAgent(name); a != nil && a.online {
		b.tellPresence(name, false)
	}
}

// silent lists agents that were heard last at an instant or before, and count as heard.
func (r *Reader) silent(ctx context.Context, at time.Time) ([]string, error) {
	return list(ctx, r, `SELECT name FROM agents WHERE silent = 0 AND heard <= $1 ORDER BY name LIMIT 1000`, []any{millis(at)},
		func(rows *sql.Rows) (name string, err error) { return name, rows.Scan(&name) })
}

// An AgentInfo is what is known of an agent.
type AgentInfo struct {
	Name    string
	Heard   time.Time // when something of it came last
	Silent  bool      // event 840 is raised
	Online  bool      // as it said itself, in its current session
	Session uint64    // 0: none yet
	Version string
	Stream  wire.ID // of its last full state
	State   []byte  // the last full state, as it came
	Host    []byte  // facts about the box, JSON, as they came
}

const selectAgents = `SELECT name, heard, silent, online, session, version, stream, state, host FROM agents`

// Agent returns what is known of one agent; sql.ErrNoRows when nothing is.
func (r *Reader) Agent(ctx context.Context, name string) (AgentInfo, error) {
	out, err := r.agents(ctx, selectAgents+` WHERE name = $1`, name)
	if err == nil && len(out) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return AgentInfo{}, err
	}
	return out[0], nil
}

// Agents lists all agents by name.
func (r *Reader) Agents(ctx context.Context) ([]AgentInfo, error) {
	return r.agents(ctx, selectAgents+` ORDER BY name`)
}

func (r *Reader) agents(ctx context.Context, query string, args ...any) ([]AgentInfo, error) {
	return list(ctx, r, query, args, func(rows *sql.Rows) (a AgentInfo, err error) {
		var heard int64
		var silent, online int
		var stream []byte
		err = rows.Scan(&a.Name, &heard, &silent, &online, &a.Session, &a.Version, &stream, &a.State, &a.Host)
		a.Heard, a.Silent, a.Online, a.Stream = fromMillis(heard), silent != 0, online != 0, id(stream)
		return a, err
	})
}
