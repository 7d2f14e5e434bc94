-- The relays: groups, nodes, tokens to join with (logged), and their certificates and when each was last heard of
-- (operational). They belong to the platform: tenant_id is ''. Times are milliseconds since 1970.

CREATE TABLE node_groups (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	name TEXT NOT NULL UNIQUE,
	description TEXT NOT NULL,
	version BIGINT NOT NULL,          -- of the row, for If-Match
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);

CREATE TABLE nodes (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	name TEXT NOT NULL UNIQUE,
	group_id TEXT NOT NULL,
	standing TEXT NOT NULL,           -- pending (never joined), joined, revoked
	placed_seq BIGINT NOT NULL,       -- change that put it into its group: what a relay had before is of another one
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL,
	joined_ms BIGINT NOT NULL         -- 0 = never
);
CREATE INDEX nodes_by_group ON nodes (group_id, id);

CREATE TABLE node_seen (
	node_id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	seen_ms BIGINT NOT NULL,
	online BIGINT NOT NULL,           -- as it was then
	address TEXT NOT NULL,
	relay_version TEXT NOT NULL
);

CREATE TABLE node_certs (
	serial TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	node_id TEXT NOT NULL,
	not_after_ms BIGINT NOT NULL,
	revoked_ms BIGINT NOT NULL        -- 0 = good
);
CREATE INDEX node_certs_by_node ON node_certs (node_id, not_after_ms);

CREATE TABLE join_tokens (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	node_id TEXT NOT NULL,
	secret_hash TEXT NOT NULL,        -- SHA-256, hex
	created_by TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	used_ms BIGINT NOT NULL,          -- 0 = not yet
	request_hash TEXT NOT NULL        -- SHA-256 of the certificate request it was used for, hex; '' = none
);
CREATE INDEX join_tokens_by_node ON join_tokens (node_id);
