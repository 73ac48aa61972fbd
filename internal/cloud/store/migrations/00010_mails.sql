-- +goose Up
-- Mails that wait to be sent (package mail). A row goes when its mail is sent or given up.
CREATE TABLE mails (
	id         TEXT PRIMARY KEY,            -- the left half of its Message-ID
	kind       TEXT NOT NULL,
	recipient  TEXT NOT NULL,
	subject    TEXT NOT NULL,
	body       TEXT NOT NULL,
	written_at BIGINT NOT NULL,
	until_at   BIGINT NOT NULL,             -- when it is given up
	attempts   BIGINT NOT NULL DEFAULT 0,   -- counted when it is claimed; the claim is known by it
	due_at     BIGINT NOT NULL              -- when it is tried next; of a claimed one, when the claim ends
);
CREATE INDEX mails_due ON mails (due_at);
