-- +goose Up
-- Support bundles that agents have sent on an order, sealed (package bundle). Nobody unpacks them here. Times are milliseconds.
CREATE TABLE support_bundles (
	order_id TEXT NOT NULL PRIMARY KEY,
	device TEXT NOT NULL,           -- devices.id: it ends with that
	agent TEXT NOT NULL,
	size BIGINT NOT NULL,           -- as it came
	sha256 TEXT NOT NULL,           -- as it came, hexadecimal digits
	stored_at BIGINT NOT NULL,
	ends_at BIGINT NOT NULL         -- then it is deleted
);
CREATE INDEX support_bundles_device ON support_bundles (device, stored_at);
CREATE INDEX support_bundles_ends ON support_bundles (ends_at);

CREATE TABLE support_bundle_bodies (
	order_id TEXT NOT NULL PRIMARY KEY,
	body TEXT NOT NULL              -- sealed
);

-- +goose Down
DROP TABLE support_bundle_bodies;
DROP TABLE support_bundles;
