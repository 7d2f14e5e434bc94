-- compatible: 11
-- How many bytes a user's mappings may pass in a month (logged). Times are milliseconds since 1970.

CREATE TABLE user_quotas (
	user_id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	monthly_bytes BIGINT NOT NULL,    -- 0 = no limit
	reset_day BIGINT NOT NULL,        -- of the month
	zone_min BIGINT NOT NULL,         -- minutes east of Greenwich
	base_bytes BIGINT NOT NULL,       -- the user's total when the month began
	start_ms BIGINT NOT NULL,
	end_ms BIGINT NOT NULL,
	exceeded BIGINT NOT NULL,         -- and so the mappings are off
	version BIGINT NOT NULL,          -- of the row, for If-Match
	updated_ms BIGINT NOT NULL
);
CREATE INDEX user_quotas_by_end ON user_quotas (end_ms);
