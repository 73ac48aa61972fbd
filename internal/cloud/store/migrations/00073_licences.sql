-- +goose Up

-- Activation codes. The first characters of a code are its number, by which it is found; the rest is the secret.
CREATE TABLE licences (
    id         TEXT PRIMARY KEY,          -- "l_…"
    number     TEXT NOT NULL UNIQUE,
    sealed     BYTEA NOT NULL,            -- salt and hash of the whole code
    plan       TEXT NOT NULL,
    days       BIGINT NOT NULL,           -- that each use adds
    uses       BIGINT NOT NULL,
    used       BIGINT NOT NULL DEFAULT 0, -- never above uses
    note       TEXT NOT NULL DEFAULT '',  -- the operator's
    issued_at  BIGINT NOT NULL,           -- ms UTC
    expires_at BIGINT NOT NULL,           -- of the code, not of what it gives; 0: never
    revoked_at BIGINT
);
CREATE INDEX licences_issued ON licences (issued_at, id);

-- What they were used for: once for each device (LIC-2). It hangs on no grant: it stays when who applied it has gone (LIC-3).
CREATE TABLE licence_uses (
    licence TEXT NOT NULL,
    device  TEXT NOT NULL,
    actor   TEXT NOT NULL,                -- opaque
    role    TEXT NOT NULL,
    at      BIGINT NOT NULL,              -- ms UTC
    PRIMARY KEY (licence, device)
);
CREATE INDEX licence_uses_of_device ON licence_uses (device, at, licence);

-- When people are to be warned next that a plan ends (PLAN-12); 0: not before its end. 1: it is to be looked at.
ALTER TABLE devices ADD COLUMN warn_at BIGINT NOT NULL DEFAULT 0;
UPDATE devices SET warn_at = 1 WHERE plan <> 'basic' AND ended_at IS NULL;
CREATE INDEX devices_warned ON devices (warn_at) WHERE warn_at <> 0;
