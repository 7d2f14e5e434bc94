-- compatible: 14
-- Settings that were changed over the API (logged), and how often.

CREATE TABLE dynamic_config (
	name TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- '': they are the platform's
	value BIGINT NOT NULL,            -- a number, 0 or 1, or milliseconds
	updated_ms BIGINT NOT NULL
);
CREATE TABLE dynamic_version (
	version BIGINT NOT NULL
);
INSERT INTO dynamic_version (version) VALUES (1);
