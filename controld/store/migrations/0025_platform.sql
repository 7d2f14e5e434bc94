-- compatible: 24
-- What system administrators set over the API. Logged. Times are milliseconds since 1970.

CREATE TABLE platform_settings (
	name TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- '': they are the platform's
	value TEXT NOT NULL,              -- a text, a number; '' of a secret
	sealed BLOB NOT NULL,             -- of a secret; empty of the others
	updated_ms BIGINT NOT NULL,
	updated_by TEXT NOT NULL
);

CREATE TABLE platform_repos (
	repo TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- ''
	added_by TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
