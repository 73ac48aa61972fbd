-- +goose Up

-- An order from its request to its end. Times are milliseconds; 0 is "not yet".
CREATE TABLE orders (
	id TEXT NOT NULL PRIMARY KEY,   -- 32 hexadecimal digits, the id in the command
	device TEXT NOT NULL,           -- devices.id, which stands for one epoch
	serial TEXT NOT NULL,
	epoch BIGINT NOT NULL,
	agent TEXT NOT NULL,
	org TEXT NOT NULL,              -- of the device
	action TEXT NOT NULL,
	params TEXT NOT NULL,           -- JSON
	actor TEXT NOT NULL,            -- opaque; what follows of the person is asked again at delivery
	account TEXT NOT NULL,
	account_org TEXT NOT NULL,
	mfa SMALLINT NOT NULL,
	role TEXT NOT NULL,             -- at the request
	plan TEXT NOT NULL,             -- at the request
	request TEXT NOT NULL,
	requested_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	drops_load SMALLINT NOT NULL,
	target TEXT NOT NULL,           -- of order.cancel: the order it cancels
	cancel TEXT NOT NULL,           -- the order.cancel that asks for the end of this one, '': nobody did
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	progress BIGINT NOT NULL,
	detail TEXT NOT NULL,
	raw TEXT NOT NULL,              -- JSON, '': none
	decided TEXT NOT NULL,          -- who decided the state: cloud, agent
	late_state TEXT NOT NULL,       -- what the agent told behind the end, '': nothing
	late_reason TEXT NOT NULL,
	late_detail TEXT NOT NULL,
	late_at BIGINT NOT NULL,
	session BIGINT NOT NULL,        -- in which it was sent last
	counter BIGINT NOT NULL,        -- with which it was sent last
	attempts BIGINT NOT NULL,
	sent_at BIGINT NOT NULL,        -- last
	sent_grant BIGINT NOT NULL,     -- grant version it was signed with last
	withheld SMALLINT NOT NULL,     -- it was sent, and the right to it ended before it could be sent again
	due_at BIGINT NOT NULL,         -- when somebody has to look at it next
	updated_at BIGINT NOT NULL,
	final_at BIGINT NOT NULL
);

CREATE INDEX orders_open ON orders (agent, device, requested_at) WHERE final_at = 0;
CREATE INDEX orders_due ON orders (due_at) WHERE final_at = 0;
CREATE INDEX orders_of_device ON orders (device, requested_at, id);
CREATE INDEX orders_of_actor ON orders (actor, requested_at);

-- What has become of orders, in the order in which it was stored: numbers are per device, without holes.
CREATE TABLE order_events (
	device TEXT NOT NULL,
	number BIGINT NOT NULL,
	order_id TEXT NOT NULL,
	action TEXT NOT NULL,
	at BIGINT NOT NULL,             -- by the agent's clock where it decided and its clock was trusted, else as arrived
	arrived BIGINT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	progress BIGINT NOT NULL,
	detail TEXT NOT NULL,
	decided TEXT NOT NULL,
	kind TEXT NOT NULL,             -- '': the order took this state; late: it had moved on or ended; repeated: told once more
	PRIMARY KEY (device, number)
);

CREATE INDEX order_events_of_order ON order_events (order_id, number);

CREATE TABLE order_devices (device TEXT NOT NULL PRIMARY KEY, number BIGINT NOT NULL);

-- What delivery needs of an agent: its session as stored last, and the highest counter ever used towards it.
CREATE TABLE order_agents (
	agent TEXT NOT NULL PRIMARY KEY,
	counter BIGINT NOT NULL,
	session BIGINT NOT NULL,
	nonce BYTEA NOT NULL,
	stated BIGINT NOT NULL,         -- the session whose full state came: its statement was accepted
	allow TEXT NOT NULL             -- JSON: orders.allow of the site; '': not told
);

-- What an agent's full state says that it has of a device.
CREATE TABLE order_confirmed (
	agent TEXT NOT NULL,
	serial TEXT NOT NULL,
	epoch BIGINT NOT NULL,
	grant_version BIGINT NOT NULL,
	PRIMARY KEY (agent, serial)
);

-- +goose Down
DROP TABLE order_confirmed;
DROP TABLE order_agents;
DROP TABLE order_devices;
DROP TABLE order_events;
DROP TABLE orders;
