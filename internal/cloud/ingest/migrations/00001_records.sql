-- What the receiver keeps. Plain enough for SQLite and PostgreSQL: BYTEA columns hold only byte strings, times are milliseconds
-- since 1970 in UTC, monotonic times microseconds, flags 0 or 1. DESIGN.md beside the package says what each table is for.

-- +goose Up
CREATE TABLE agents (
  name     TEXT PRIMARY KEY,
  known    BIGINT NOT NULL,
  heard    BIGINT NOT NULL,
  silent   SMALLINT NOT NULL,
  online   SMALLINT NOT NULL,
  session  BIGINT NOT NULL,
  nonce    BYTEA NOT NULL,
  began    BIGINT NOT NULL,
  fell     SMALLINT NOT NULL,
  stream   BYTEA NOT NULL,
  version  TEXT NOT NULL,
  state    BYTEA NOT NULL,
  host     BYTEA NOT NULL
);
CREATE TABLE sessions (
  agent    TEXT NOT NULL,
  session  BIGINT NOT NULL,
  nonce    BYTEA NOT NULL,
  ordinal  BIGINT NOT NULL,
  began    BIGINT NOT NULL,
  stated   SMALLINT NOT NULL,
  PRIMARY KEY (agent, session, nonce)
);
CREATE INDEX sessions_ordinal ON sessions (agent, ordinal);
CREATE TABLE lanes (
  id       BIGINT PRIMARY KEY,
  agent    TEXT NOT NULL,
  stream   BYTEA NOT NULL,
  lane     SMALLINT NOT NULL,
  arrivals BIGINT NOT NULL,
  highest  BIGINT NOT NULL,
  frozen   BIGINT NOT NULL,
  UNIQUE (agent, stream, lane)
);
CREATE TABLE covered (
  lane     BIGINT NOT NULL,
  first    BIGINT NOT NULL,
  last     BIGINT NOT NULL,
  PRIMARY KEY (lane, first)
);
CREATE TABLE records (
  lane     BIGINT NOT NULL,
  seq      BIGINT NOT NULL,
  arrival  BIGINT NOT NULL,
  arrived  BIGINT NOT NULL,
  late     SMALLINT NOT NULL,
  class    TEXT NOT NULL,
  epoch    BIGINT NOT NULL,
  boot     BIGINT NOT NULL,
  boot_id  BYTEA NOT NULL,
  mono     BIGINT NOT NULL,
  wall     BIGINT,
  payload  BYTEA NOT NULL,
  PRIMARY KEY (lane, seq)
);
CREATE TABLE gaps (
  lane     BIGINT NOT NULL,
  seq      BIGINT NOT NULL,
  about    BIGINT NOT NULL,
  first    BIGINT NOT NULL,
  last     BIGINT NOT NULL,
  unit     TEXT NOT NULL,
  body     BYTEA NOT NULL,
  reason   TEXT NOT NULL,
  arrived  BIGINT NOT NULL,
  PRIMARY KEY (lane, seq, about, first, last)
);
CREATE INDEX gaps_about ON gaps (about, first);
CREATE TABLE asides (
  lane     BIGINT NOT NULL,
  seq      BIGINT NOT NULL,
  hash     BYTEA NOT NULL,
  kept     BYTEA NOT NULL,
  conflict SMALLINT NOT NULL,
  copies   BIGINT NOT NULL,
  arrived  BIGINT NOT NULL,
  class    TEXT NOT NULL,
  epoch    BIGINT NOT NULL,
  boot     BIGINT NOT NULL,
  boot_id  BYTEA NOT NULL,
  mono     BIGINT NOT NULL,
  wall     BIGINT,
  payload  BYTEA NOT NULL,
  PRIMARY KEY (lane, seq, hash)
);
CREATE TABLE anchors (
  agent    TEXT NOT NULL,
  boot_id  BYTEA NOT NULL,
  mono     BIGINT NOT NULL,
  wall     BIGINT NOT NULL,
  PRIMARY KEY (agent, boot_id, mono)
);
CREATE TABLE schemas (
  agent    TEXT NOT NULL,
  hash     BYTEA NOT NULL,
  layout   BYTEA NOT NULL,
  PRIMARY KEY (agent, hash)
);
CREATE TABLE quarantine (
  hash     BYTEA PRIMARY KEY,
  id       BIGINT NOT NULL,
  topic    TEXT NOT NULL,
  reason   TEXT NOT NULL,
  copies   BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at  BIGINT NOT NULL,
  length   BIGINT NOT NULL,
  payload  BYTEA NOT NULL
);
CREATE INDEX quarantine_id ON quarantine (id);
CREATE TABLE notices (
  id       BIGINT PRIMARY KEY,
  agent    TEXT NOT NULL,
  what     TEXT NOT NULL,
  subject  TEXT NOT NULL,
  detail   TEXT NOT NULL,
  times    BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at  BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX notices_open ON notices (agent, what, subject);
