-- Who may do what: tenants, users, memberships, API keys (logged), and sessions and signing keys (operational).
-- Times are milliseconds since 1970. A *_key column is the folded form of a name that must be unique.

CREATE TABLE tenants (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- the same as id
	name TEXT NOT NULL,
	name_key TEXT NOT NULL UNIQUE,
	status TEXT NOT NULL,             -- active, suspended, deleting
	dial_allow TEXT NOT NULL,         -- JSON array of CIDRs that its users may have dialled by relays
	version BIGINT NOT NULL,          -- of the row, for If-Match
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);

CREATE TABLE users (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- whose administrators manage the account
	email TEXT NOT NULL,
	email_key TEXT NOT NULL UNIQUE,
	username TEXT NOT NULL,
	username_key TEXT NOT NULL UNIQUE,
	password_hash TEXT NOT NULL,
	first_name TEXT NOT NULL,
	last_name TEXT NOT NULL,
	status TEXT NOT NULL,             -- active, inactive, suspended, deleting
	system_admin BIGINT NOT NULL,
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL,
	last_login_ms BIGINT NOT NULL     -- 0 = never
);
CREATE INDEX users_by_tenant ON users (tenant_id, id);

CREATE TABLE memberships (
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	role TEXT NOT NULL,               -- owner, admin, operator, viewer
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id, tenant_id);

-- One row per login, which is one family of refresh tokens. used is the highest generation that was presented, -1 = none:
-- generation used + 1 is the newest one given out.
CREATE TABLE sessions (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	used BIGINT NOT NULL,
	address TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_tenant ON sessions (tenant_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);

CREATE TABLE api_keys (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,            -- '' = belongs to no user
	name TEXT NOT NULL,
	prefix TEXT NOT NULL,             -- its first characters, to tell keys apart
	hash TEXT NOT NULL UNIQUE,        -- SHA-256 of the key, hex
	role TEXT NOT NULL,
	system_admin BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL        -- 0 = never
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);
CREATE INDEX api_keys_by_user ON api_keys (user_id);

-- Keys that sign access tokens. The secret half is sealed among the secrets as "jwt-key:<id>".
CREATE TABLE signing_keys (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- '' = the platform's
	public_key BLOB NOT NULL,
	signs_from_ms BIGINT NOT NULL,
	signs_until_ms BIGINT NOT NULL,
	drop_ms BIGINT NOT NULL           -- no token signed with it can be valid any more
);
