-- +goose Up

-- What outlives a registration: how often the serial was bound, and when it last had its free period (PLAN-13).
CREATE TABLE serials (
    serial TEXT PRIMARY KEY,
    epoch  BIGINT NOT NULL,            -- of the last registration or deletion
    trial  BIGINT NOT NULL DEFAULT 0   -- ms UTC, beginning of the last free period; 0: none
);

-- Registered devices, one row for each (serial, epoch).
CREATE TABLE devices (
    id            TEXT PRIMARY KEY,    -- "d_…"
    serial        TEXT NOT NULL,
    epoch         BIGINT NOT NULL,
    agent         TEXT NOT NULL,
    owner         TEXT NOT NULL,       -- account
    org           TEXT NOT NULL,
    name          TEXT NOT NULL,
    site          TEXT NOT NULL DEFAULT '',
    notes         TEXT NOT NULL DEFAULT '',
    plan          TEXT NOT NULL,       -- up to valid_until, then basic (PLAN-9)
    valid_until   BIGINT NOT NULL,     -- ms UTC; the year 2199: no end
    grant_version BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    ended_at      BIGINT,              -- deleted then
    UNIQUE (serial, epoch)
);
CREATE UNIQUE INDEX devices_owned ON devices (serial) WHERE ended_at IS NULL;
CREATE INDEX devices_of_agent ON devices (agent);
CREATE INDEX devices_of_owner ON devices (owner, registered_at, id);

-- What agents say of their units, by their full states.
CREATE TABLE sightings (
    agent         TEXT NOT NULL,
    unit          TEXT NOT NULL,       -- name in the agent's configuration
    serial        TEXT NOT NULL,
    model         TEXT NOT NULL,
    firmware      TEXT NOT NULL,
    condition     TEXT NOT NULL,       -- JSON list of names
    alarms        TEXT NOT NULL,       -- JSON list of ids
    unconfirmed   TEXT NOT NULL,       -- JSON list of ids
    epoch         BIGINT NOT NULL,     -- what the agent has confirmed
    plan_version  BIGINT NOT NULL,
    grant_version BIGINT NOT NULL,
    first_seen    BIGINT NOT NULL,
    last_seen     BIGINT NOT NULL,     -- arrival of the last full state that had it
    ended         TEXT NOT NULL DEFAULT '', -- why it is not in the last full state; '': it is
    PRIMARY KEY (agent, unit, serial)
);
CREATE INDEX sightings_by_serial ON sightings (serial, agent);

-- Whether agents are heard (TIME-4).
CREATE TABLE agent_presence (
    agent     TEXT PRIMARY KEY,
    online    SMALLINT NOT NULL,
    since     BIGINT NOT NULL, -- of online
    state_at  BIGINT NOT NULL  -- arrival of the last full state; 0: none yet
);
