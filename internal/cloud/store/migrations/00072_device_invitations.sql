-- +goose Up

-- Who was asked to share devices (package invitation). State: open, accepted, declined, expired, locked, cancelled; all but open are final.
-- While something of an invitation is open, it is.
CREATE TABLE device_invitations (
    id         TEXT PRIMARY KEY,            -- "si_…"
    owner      TEXT NOT NULL,               -- account that invites
    inviter    TEXT NOT NULL,               -- its actor
    email      TEXT NOT NULL,
    email_key  TEXT NOT NULL,               -- what is compared (INV-6)
    sealed     BYTEA NOT NULL,              -- salt and hash of the code (INV-10)
    tries      BIGINT NOT NULL DEFAULT 0,   -- wrong ones
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,             -- ms UTC
    sent_at    BIGINT NOT NULL,             -- the code, last
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT
);
CREATE INDEX device_invitations_owner ON device_invitations (owner, id) WHERE state = 'open';
CREATE INDEX device_invitations_email ON device_invitations (email_key);
CREATE INDEX device_invitations_expires ON device_invitations (expires_at) WHERE state = 'open';
CREATE INDEX device_invitations_ended ON device_invitations (ended_at) WHERE state <> 'open';

-- For which devices. Each open row takes one of the places of its device (SHARE-3).
CREATE TABLE device_invitation_devices (
    invitation TEXT NOT NULL,
    device     TEXT NOT NULL,
    number     BIGINT NOT NULL,             -- by which the letter calls it, from 1
    epoch      BIGINT NOT NULL,             -- of the device, then
    email_key  TEXT NOT NULL,
    state      TEXT NOT NULL,
    ended_at   BIGINT,
    PRIMARY KEY (invitation, device)
);
CREATE UNIQUE INDEX device_invitation_devices_open ON device_invitation_devices (device, email_key) WHERE state = 'open';
