-- +goose Up

-- Entries of the Event Log, appended and never changed (rules, LOG-5). internal/cloud/eventlog/DESIGN.md says what hash covers.
CREATE TABLE event_log (
    chain    TEXT NOT NULL,     -- id of the device, else of the organisation, else 'cloud'
    n        BIGINT NOT NULL,   -- 1, 2, 3 … of the chain, without holes
    epoch    BIGINT NOT NULL,   -- of the device; 0 where there is none
    org      TEXT NOT NULL,
    device   TEXT NOT NULL,     -- '' where it is about none
    at       BIGINT NOT NULL,   -- ms UTC, when it happened
    arrived  BIGINT NOT NULL,   -- ms UTC, when the cloud learnt of it; at, where it was there
    actor    TEXT NOT NULL,     -- the opaque reference, never a name
    role     TEXT NOT NULL,
    action   TEXT NOT NULL,
    params   TEXT NOT NULL,     -- flat JSON object of texts, names in order
    outcome  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    request  TEXT NOT NULL,
    plan     TEXT NOT NULL,
    decided  TEXT NOT NULL,     -- cloud or agent
    previous BYTEA NOT NULL,    -- hash of the entry before, 32 bytes; zeros of the first
    hash     BYTEA NOT NULL,    -- SHA-256
    PRIMARY KEY (chain, n)
);
CREATE INDEX event_log_by_time ON event_log (chain, at, n);
CREATE INDEX event_log_by_org ON event_log (org, at, chain, n);

-- The last entry of each chain; who appends holds its row.
CREATE TABLE event_heads (
    chain TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    org   TEXT NOT NULL,
    n     BIGINT NOT NULL,
    hash  BYTEA NOT NULL,
    signed BIGINT NOT NULL DEFAULT 0 -- number of the entry up to which a signature stands in event_signatures
);

-- Heads that were signed (T-86). A copy of any of them, held elsewhere, shows a chain that was written anew.
CREATE TABLE event_signatures (
    chain     TEXT NOT NULL,
    n         BIGINT NOT NULL,
    at        BIGINT NOT NULL, -- ms UTC
    signature TEXT NOT NULL,   -- compact JWS
    PRIMARY KEY (chain, n)
);
