-- What units said, by time: package history. The blocks themselves are ingest's records; here stands where to find them, and what was
-- reckoned from them. Times are milliseconds since 1970 in UTC.

-- +goose Up
-- Up to which arrival each lane was followed.
CREATE TABLE history_cursors (
  lane    BIGINT PRIMARY KEY,
  arrival BIGINT NOT NULL
);
-- One row for each block or picture of a device. certain is 0 while its time is only that of its arrival; long is 1 where it spans more than
-- ten minutes.
CREATE TABLE blocks (
  device   TEXT NOT NULL,
  lane     BIGINT NOT NULL,
  arrival  BIGINT NOT NULL,
  agent    TEXT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at  BIGINT NOT NULL,
  long     SMALLINT NOT NULL,
  certain  SMALLINT NOT NULL,
  PRIMARY KEY (lane, arrival)
);
CREATE INDEX blocks_time ON blocks (device, long, last_at, first_at);
CREATE INDEX blocks_uncertain ON blocks (agent) WHERE certain = 0;
-- Blocks whose schema has not come; those without one could not be indexed at all.
CREATE TABLE unread (
  lane    BIGINT NOT NULL,
  arrival BIGINT NOT NULL,
  agent   TEXT NOT NULL,
  schema  BYTEA,
  PRIMARY KEY (lane, arrival)
);
CREATE INDEX unread_schema ON unread (agent, schema);
-- Level 1: an hour in cells of a minute; level 2: a day in cells of an hour. stale: blocks have come since.
CREATE TABLE summaries (
  device TEXT NOT NULL,
  level  SMALLINT NOT NULL,
  at     BIGINT NOT NULL,
  stale  SMALLINT NOT NULL,
  body   BYTEA NOT NULL,
  PRIMARY KEY (device, level, at)
);
CREATE TABLE latest (
  device TEXT PRIMARY KEY,
  body   BYTEA NOT NULL
);
CREATE TABLE incidents (
  id          TEXT PRIMARY KEY,
  device      TEXT NOT NULL,
  stream      BYTEA NOT NULL,
  seq         BIGINT NOT NULL,
  event_id    BIGINT NOT NULL,
  outlet      TEXT NOT NULL,
  kind        TEXT NOT NULL,
  severity    TEXT NOT NULL,
  text        TEXT NOT NULL,
  detail      TEXT NOT NULL,
  raised_at   BIGINT NOT NULL,
  certain     SMALLINT NOT NULL,
  arrived_at  BIGINT NOT NULL,
  cleared_at  BIGINT,
  cleared_seq BIGINT,
  cleared_certain SMALLINT NOT NULL DEFAULT 1,
  inferred    SMALLINT NOT NULL,
  UNIQUE (device, stream, seq)
);
CREATE INDEX incidents_uncertain ON incidents (device) WHERE certain = 0 OR cleared_certain = 0;
CREATE INDEX incidents_time ON incidents (device, raised_at, id);
CREATE INDEX incidents_open ON incidents (device, event_id) WHERE cleared_at IS NULL;
-- Clears that came before their raise.
CREATE TABLE early_clears (
  device   TEXT NOT NULL,
  stream   BYTEA NOT NULL,
  raised   BIGINT NOT NULL,
  seq      BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  certain  SMALLINT NOT NULL,
  inferred SMALLINT NOT NULL,
  PRIMARY KEY (device, stream, raised)
);
CREATE TABLE inventory (
  device   TEXT PRIMARY KEY,
  unit     TEXT NOT NULL,
  model    TEXT NOT NULL,
  firmware TEXT NOT NULL,
  agent    TEXT NOT NULL,
  since    BIGINT NOT NULL
);
CREATE TABLE inventory_changes (
  device TEXT NOT NULL,
  number BIGINT NOT NULL,
  at     BIGINT NOT NULL,
  field  TEXT NOT NULL,
  old    TEXT NOT NULL,
  new    TEXT NOT NULL,
  PRIMARY KEY (device, number)
);
