-- +goose Up

-- Orders to many devices. Times are milliseconds; 0 is "not yet".
CREATE TABLE jobs (
	id TEXT NOT NULL PRIMARY KEY,     -- "j_…"
	actor TEXT NOT NULL,              -- opaque
	account TEXT NOT NULL,
	org TEXT NOT NULL,                -- of the account
	mfa SMALLINT NOT NULL,            -- a second factor was given in the session of the request
	request TEXT NOT NULL,
	action TEXT NOT NULL,
	params TEXT NOT NULL,             -- JSON
	drops_load SMALLINT NOT NULL,
	reject SMALLINT NOT NULL,         -- on_offline: 1 reject, 0 queue
	at_once BIGINT NOT NULL,
	abort_percent BIGINT NOT NULL,
	abort_after BIGINT NOT NULL,
	devices BIGINT NOT NULL,          -- that it began with: those refused at the request are not among them
	requested_at BIGINT NOT NULL,
	start_until BIGINT NOT NULL,      -- what has not begun by then never does
	state TEXT NOT NULL,              -- running, completed, cancelled, aborted
	detail TEXT NOT NULL,             -- why, of the last two
	turn BIGINT NOT NULL,             -- raised first by whoever takes a step: two at once wait for each other here
	decided_at BIGINT NOT NULL,       -- when it left running
	ended_at BIGINT NOT NULL          -- when the last of its orders had ended, too
);
CREATE INDEX jobs_open ON jobs (requested_at, id) WHERE ended_at = 0;
CREATE INDEX jobs_of_account ON jobs (account, requested_at, id);

CREATE TABLE job_devices (
	job TEXT NOT NULL,
	number BIGINT NOT NULL,           -- its place in the request, from 1
	device TEXT NOT NULL,
	order_id TEXT NOT NULL,           -- '': none was made; where there is one it says what became of the device
	state TEXT NOT NULL,              -- without an order: waiting, refused, cancelled, expired; else ordered
	reason TEXT NOT NULL,
	detail TEXT NOT NULL,
	asked SMALLINT NOT NULL,          -- 1: refused at the request
	at BIGINT NOT NULL,               -- of the state
	PRIMARY KEY (job, number)
);
CREATE UNIQUE INDEX job_devices_once ON job_devices (job, device);

-- The job an order is of, '' where somebody asked for it alone; and whether it ends instead of waiting for an agent that is away.
ALTER TABLE orders ADD COLUMN job TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN reject SMALLINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE orders DROP COLUMN reject;
ALTER TABLE orders DROP COLUMN job;
DROP TABLE job_devices;
DROP TABLE jobs;
