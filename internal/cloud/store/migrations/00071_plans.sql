-- +goose Up

-- A device is on Advanced before one instant, on Standard before another, and on Basic behind both. plan and valid_until are the stretch of that
-- which was last written down and told to the site; standard_until is what is left behind a stretch of Advanced.
ALTER TABLE devices ADD COLUMN standard_until BIGINT NOT NULL DEFAULT 0; -- ms UTC; 0: basic follows
ALTER TABLE devices ADD COLUMN paid_since BIGINT NOT NULL DEFAULT 0;     -- ms UTC; on standard or better since then without a break; 0: it is not
ALTER TABLE devices ADD COLUMN plan_set BIGINT NOT NULL DEFAULT 0;       -- ms UTC; when plan and valid_until became what they are

-- What was before: one plan with one end. Since when, its log says, or the registration.
UPDATE devices SET valid_until = 7226582400000 WHERE valid_until = 0 OR plan = 'basic'; -- the year 2199: no end
UPDATE devices SET plan_set = COALESCE((SELECT MAX(at) FROM event_log WHERE device = devices.id AND action = 'plan.change'), registered_at);
UPDATE devices SET paid_since = plan_set WHERE plan <> 'basic';

CREATE INDEX devices_plan_ends ON devices (valid_until) WHERE ended_at IS NULL AND plan <> 'basic';
