-- +goose Up
-- How somebody signs in (package account). Its address is an attribute: ids are what other tables hold.
CREATE TABLE identities (
	id              TEXT PRIMARY KEY,       -- s_…
	email           TEXT NOT NULL,          -- where mail goes
	email_key       TEXT NOT NULL UNIQUE,   -- what is compared (INV-6)
	password        TEXT NOT NULL,          -- argon2id, in the PHC string format
	totp_secret     TEXT NOT NULL DEFAULT '',
	totp_step       BIGINT NOT NULL DEFAULT 0, -- the last time step whose code was taken: none is taken twice
	totp_pending    TEXT NOT NULL DEFAULT '',  -- a secret that waits for its first code
	totp_pending_at BIGINT NOT NULL DEFAULT 0,
	verified_at     BIGINT NOT NULL,
	created_at      BIGINT NOT NULL
);
CREATE TABLE organisations (
	id         TEXT PRIMARY KEY,            -- o_…
	name       TEXT NOT NULL,
	created_at BIGINT NOT NULL
);
-- Who somebody is. An account is a member of one organisation.
CREATE TABLE accounts (
	id         TEXT PRIMARY KEY,            -- a_…, never used again
	identity   TEXT NOT NULL,
	actor      TEXT NOT NULL UNIQUE,        -- u_…, what logs and orders carry
	org        TEXT NOT NULL REFERENCES organisations (id),
	name       TEXT NOT NULL,
	operator   SMALLINT NOT NULL DEFAULT 0,
	created_at BIGINT NOT NULL,
	closed_at  BIGINT
);
CREATE UNIQUE INDEX accounts_identity ON accounts (identity) WHERE closed_at IS NULL;
CREATE INDEX accounts_org ON accounts (org);

-- Codes of sign-ups and resets, of which only hashes are kept. One for an address that needs none has a hash of nothing.
CREATE TABLE codes (
	id           TEXT PRIMARY KEY,          -- c_…, told to who asked
	purpose      TEXT NOT NULL,             -- signup, reset
	email        TEXT NOT NULL,
	email_key    TEXT NOT NULL,
	sealed       BYTEA NOT NULL,            -- salt and hash
	tries        BIGINT NOT NULL DEFAULT 0, -- wrong ones
	password     TEXT NOT NULL DEFAULT '',  -- of a sign-up
	name         TEXT NOT NULL DEFAULT '',
	organisation TEXT NOT NULL DEFAULT '',
	identity     TEXT NOT NULL DEFAULT '',  -- of a reset
	expires_at   BIGINT NOT NULL,
	used_at      BIGINT
);
CREATE INDEX codes_expires ON codes (expires_at);
CREATE TABLE recovery_codes (
	identity TEXT NOT NULL,
	sealed   BYTEA NOT NULL,
	PRIMARY KEY (identity, sealed)
);

-- Invitations to an organisation (ORG-2). State: open, accepted, cancelled, expired, locked; all but open are final.
CREATE TABLE invitations (
	id         TEXT PRIMARY KEY,            -- i_…
	org        TEXT NOT NULL REFERENCES organisations (id),
	email      TEXT NOT NULL,
	email_key  TEXT NOT NULL,
	sealed     BYTEA NOT NULL,
	tries      BIGINT NOT NULL DEFAULT 0,
	state      TEXT NOT NULL,
	inviter    TEXT NOT NULL,               -- actor
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	ended_at   BIGINT
);
CREATE UNIQUE INDEX invitations_open ON invitations (org, email_key) WHERE state = 'open';
CREATE INDEX invitations_email ON invitations (email_key);

-- Sessions, by the hash of their token.
CREATE TABLE sign_ins (
	token      BYTEA PRIMARY KEY,
	identity   TEXT NOT NULL,
	data       BYTEA NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_identity ON sign_ins (identity);
CREATE INDEX sign_ins_expires ON sign_ins (expires_at);
-- From which networks somebody has signed in.
CREATE TABLE places (
	identity TEXT NOT NULL,
	place    TEXT NOT NULL,                 -- 192.0.2.0/24, 2001:db8:1::/48
	last_at  BIGINT NOT NULL,
	PRIMARY KEY (identity, place)
);
-- How often something was done in a stretch of time; it holds over restarts. Names are hashed: no address stands here.
CREATE TABLE limits (
	bucket   BYTEA PRIMARY KEY,
	began_at BIGINT NOT NULL,
	hits     BIGINT NOT NULL,
	ends_at  BIGINT NOT NULL
);
CREATE INDEX limits_ends ON limits (ends_at);
