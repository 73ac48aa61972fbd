-- Answers of the HTTP interface that an Idempotency-Key can ask for again, for a day.

-- +goose Up
CREATE TABLE answers (
  actor   TEXT NOT NULL,
  key     TEXT NOT NULL,
  request BYTEA NOT NULL,
  status  BIGINT NOT NULL,
  header  BYTEA NOT NULL,
  body    BYTEA,
  at      BIGINT NOT NULL,
  PRIMARY KEY (actor, key)
);
CREATE INDEX answers_at ON answers (at);
