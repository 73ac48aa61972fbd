-- +goose Up

-- An account may have several roles on a device, each once (ROLE-7).
DROP INDEX grants_now;
CREATE UNIQUE INDEX grants_now ON grants (device, account, role) WHERE ended_at IS NULL;

-- The address as the owner invited it, for the owner and for the letter that tells of the end; gone with the grant.
ALTER TABLE grants ADD COLUMN address TEXT NOT NULL DEFAULT '';

-- Which plan each grant version of a device means: of a version that the site has confirmed it can be said (TIME-3).
CREATE TABLE grant_plans (
    device      TEXT NOT NULL,
    version     BIGINT NOT NULL,
    plan        TEXT NOT NULL,
    valid_until BIGINT NOT NULL,     -- ms UTC
    PRIMARY KEY (device, version)
);
INSERT INTO grant_plans (device, version, plan, valid_until) SELECT id, grant_version, plan, valid_until FROM devices;
