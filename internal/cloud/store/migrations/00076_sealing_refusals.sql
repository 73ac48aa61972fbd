-- +goose Up
-- Something that the key of this database's secrets opens: a program with another key says so, and seals nothing (package authority).
CREATE TABLE sealing (
	id    TEXT PRIMARY KEY,   -- 'proof'
	proof TEXT NOT NULL
);

-- How often somebody was refused lately, by the chain of the Event Log where it stands: beyond a few in an hour one entry says
-- how many more there were (package eventlog).
CREATE TABLE refusals (
	chain   TEXT NOT NULL,
	actor   TEXT NOT NULL,
	action  TEXT NOT NULL,
	reason  TEXT NOT NULL,
	org     TEXT NOT NULL,    -- as in the entry
	device  TEXT NOT NULL,
	role    TEXT NOT NULL,
	hits    BIGINT NOT NULL,
	ends_at BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	request TEXT NOT NULL,    -- the last one
	PRIMARY KEY (chain, actor, action, reason)
);
CREATE INDEX refusals_ends ON refusals (ends_at);
