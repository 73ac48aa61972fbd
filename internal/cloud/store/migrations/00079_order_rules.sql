-- +goose Up

-- What a site's full state says of its own rules for orders: JSON, '': not told.
ALTER TABLE order_agents ADD COLUMN rules TEXT NOT NULL DEFAULT '';

-- When another order may drop the load of a device, in milliseconds, and how many more may in a day; below 0: not told.
ALTER TABLE order_confirmed ADD COLUMN drop_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE order_confirmed ADD COLUMN drops_left BIGINT NOT NULL DEFAULT -1;

-- +goose Down
ALTER TABLE order_confirmed DROP COLUMN drops_left;
ALTER TABLE order_confirmed DROP COLUMN drop_at;
ALTER TABLE order_agents DROP COLUMN rules;
