-- compatible: 33
-- Logins of game servers by device code: what is under way, accounts with their tokens, game sessions. Times are milliseconds
-- since 1970. Operational, but for what the audit log says of each step.

CREATE TABLE device_flows (
	hash TEXT NOT NULL PRIMARY KEY,   -- SHA-256 of the device code
	tenant_id TEXT NOT NULL,          -- '' of one that was begun without a key
	environment TEXT NOT NULL,
	interval_ms BIGINT NOT NULL,
	next_poll_ms BIGINT NOT NULL,     -- whoever asks before is too fast
	account TEXT NOT NULL,            -- device_accounts.id of one that came to a good end, or ''
	expires_ms BIGINT NOT NULL
);
CREATE INDEX device_flows_by_end ON device_flows (expires_ms);

CREATE TABLE device_accounts (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	account_id TEXT NOT NULL,         -- as the service calls it
	environment TEXT NOT NULL,        -- whose tokens these are
	access BLOB NOT NULL,             -- sealed
	refresh BLOB NOT NULL,            -- sealed
	refresh_hash TEXT NOT NULL,       -- SHA-256 of the refresh token
	before_hash TEXT NOT NULL,        -- and of the one before, which was used up
	access_expires_ms BIGINT NOT NULL,
	refresh_expires_ms BIGINT NOT NULL,
	profile_uuid TEXT NOT NULL,       -- that was selected, or ''
	profile_name TEXT NOT NULL,
	status TEXT NOT NULL,             -- active, expired
	due_ms BIGINT NOT NULL,           -- refreshed in the background from then on
	failures BIGINT NOT NULL,         -- of that, in a row
	error TEXT NOT NULL,
	hold_until_ms BIGINT NOT NULL,    -- somebody is refreshing it
	take BIGINT NOT NULL,             -- rises with every taking: who writes must know it
	version BIGINT NOT NULL,          -- rises with every new pair
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX device_accounts_once ON device_accounts (tenant_id, account_id);
CREATE INDEX device_accounts_by_refresh ON device_accounts (refresh_hash);
CREATE INDEX device_accounts_by_before ON device_accounts (before_hash);
CREATE INDEX device_accounts_due ON device_accounts (due_ms) WHERE status = 'active';

CREATE TABLE device_sessions (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	account TEXT NOT NULL,            -- device_accounts.id
	profile_uuid TEXT NOT NULL,
	session BLOB NOT NULL,            -- sealed, as the next
	identity BLOB NOT NULL,
	status TEXT NOT NULL,             -- active, ended
	expires_ms BIGINT NOT NULL,
	due_ms BIGINT NOT NULL,           -- refreshed in the background from then on
	failures BIGINT NOT NULL,
	error TEXT NOT NULL,
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE INDEX device_sessions_by_account ON device_sessions (account, profile_uuid, id);
CREATE INDEX device_sessions_by_tenant ON device_sessions (tenant_id);
CREATE INDEX device_sessions_due ON device_sessions (due_ms) WHERE status = 'active';
