-- +goose Up

-- Agents. One that was removed keeps its row: its records name it.
CREATE TABLE enrolled_agents (
    agent       TEXT PRIMARY KEY,   -- "g_…", the name in its certificates and topics
    org         TEXT NOT NULL,      -- of the token it was enrolled with (DEV-6)
    name        TEXT NOT NULL,      -- what the owner called it when the token was made; may be ''
    public_key  BYTEA NOT NULL,     -- SHA-256 of its public key (PKIX): who asks again with the same key and token is the same agent
    enrolled_at BIGINT NOT NULL,    -- ms UTC
    revoked_at  BIGINT              -- removed then
);
CREATE UNIQUE INDEX agents_by_key ON enrolled_agents (public_key) WHERE revoked_at IS NULL;
CREATE INDEX agents_of_org ON enrolled_agents (org, enrolled_at, agent);

-- Certificates of agents. One that is not here is none of ours, whoever signed it.
CREATE TABLE agent_certificates (
    fingerprint BYTEA PRIMARY KEY,  -- SHA-256 of the certificate
    agent       TEXT NOT NULL REFERENCES enrolled_agents (agent),
    issued_at   BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL
);
CREATE INDEX certificates_of_agent ON agent_certificates (agent, ends_at);

-- Tokens to enrol one agent each (EDGE-14).
CREATE TABLE enrolment_tokens (
    id         TEXT PRIMARY KEY,    -- "t_…", says nothing about the token
    digest     BYTEA NOT NULL UNIQUE, -- SHA-256 of its secret
    org        TEXT NOT NULL,
    actor      TEXT NOT NULL,       -- who asked for it
    name       TEXT NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    agent      TEXT                 -- enrolled with it
);
CREATE INDEX tokens_of_org ON enrolment_tokens (org, expires_at);
