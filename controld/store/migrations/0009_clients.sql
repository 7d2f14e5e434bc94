-- compatible: 8
-- Clients: machines whose agents open links to the relays (logged), and when each was last seen (operational). Times are
-- milliseconds since 1970.

CREATE TABLE clients (
	id BIGINT NOT NULL PRIMARY KEY,   -- below 2^53
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,            -- '' = belongs to no user
	name TEXT NOT NULL,
	type TEXT NOT NULL,               -- registered, anonymous
	status TEXT NOT NULL,             -- the wish: active, inactive; deleting
	single BIGINT NOT NULL,
	config TEXT NOT NULL,             -- JSON
	keys TEXT NOT NULL,               -- JSON: public keys, newest first
	expires_ms BIGINT NOT NULL,       -- 0 = never
	version BIGINT NOT NULL,          -- of the row, for If-Match
	seq BIGINT NOT NULL,              -- number of its newest change in the log
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE INDEX clients_by_tenant ON clients (tenant_id, id);
CREATE INDEX clients_by_user ON clients (user_id, id);
CREATE INDEX clients_by_status ON clients (status);

CREATE TABLE client_seen (
	client_id BIGINT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	seen_ms BIGINT NOT NULL,
	node_id TEXT NOT NULL,
	address TEXT NOT NULL,
	agent_version TEXT NOT NULL
);

-- The client whose agent dials the target; 0 = the relay dials it.
ALTER TABLE mappings ADD COLUMN target_client_id BIGINT NOT NULL DEFAULT 0;
CREATE INDEX mappings_by_client ON mappings (target_client_id, group_id);

-- Of a mapping's total: the client that serves it, whose total (scope client) what passes is added to; 0 = none.
ALTER TABLE traffic ADD COLUMN client_id BIGINT NOT NULL DEFAULT 0;
