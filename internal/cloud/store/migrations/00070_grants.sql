-- +goose Up

-- Who else may do something with a device (rules, sections 1 and 6). Ended ones stay: sites are told of them (EDGE-5).
CREATE TABLE grants (
    id            TEXT PRIMARY KEY,    -- "sh_…"
    device        TEXT NOT NULL,
    account       TEXT NOT NULL,
    actor         TEXT NOT NULL,       -- opaque
    role          TEXT NOT NULL,
    version       BIGINT NOT NULL,     -- grant version of the device with which it began
    began_at      BIGINT NOT NULL,     -- ms UTC
    ended_at      BIGINT,
    ended_version BIGINT,              -- grant version with which it ended
    why           TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX grants_now ON grants (device, account) WHERE ended_at IS NULL;
CREATE INDEX grants_of_account ON grants (account, device) WHERE ended_at IS NULL;
CREATE INDEX grants_ended ON grants (device, actor) WHERE ended_at IS NOT NULL;
