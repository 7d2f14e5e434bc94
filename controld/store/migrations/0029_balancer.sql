-- compatible: 28
-- Pools of backends and the routes that lead to them. All logged. Times are milliseconds since 1970.

CREATE TABLE lb_pools (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,            -- '' when an API key of no user made it
	name TEXT NOT NULL,               -- never changes: routes and programs name it
	algorithm TEXT NOT NULL,
	settings TEXT NOT NULL,           -- JSON: those that are not the default
	version BIGINT NOT NULL,          -- of the row, for If-Match
	seq BIGINT NOT NULL,              -- number of its newest change in the log
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX lb_pools_by_name ON lb_pools (tenant_id, name);
CREATE INDEX lb_pools_by_tenant ON lb_pools (tenant_id, id);

CREATE TABLE lb_backends (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	pool_id TEXT NOT NULL,
	host TEXT NOT NULL,
	port BIGINT NOT NULL,
	client_id BIGINT NOT NULL,        -- whose agent dials it; 0 = the relays
	dial_any BIGINT NOT NULL,         -- the address was written by a system administrator
	weight BIGINT NOT NULL,           -- 0 = it drains
	region TEXT NOT NULL,
	backup BIGINT NOT NULL,
	max_connections BIGINT NOT NULL,  -- 0 = no limit
	settings TEXT NOT NULL,           -- JSON: what it has of its own instead of the pool's
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX lb_backends_once ON lb_backends (pool_id, host, port, client_id);
CREATE INDEX lb_backends_by_pool ON lb_backends (pool_id, id);
CREATE INDEX lb_backends_by_tenant ON lb_backends (tenant_id, id);
CREATE INDEX lb_backends_by_client ON lb_backends (client_id) WHERE client_id <> 0;

CREATE TABLE lb_routes (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	host TEXT NOT NULL,               -- lower case; '*.' and a name: all below it
	path_prefix TEXT NOT NULL,
	pool_name TEXT NOT NULL,          -- '' when it answers by itself (a redirect)
	group_id TEXT NOT NULL,
	group_name TEXT NOT NULL,         -- as the caller wrote it
	node_id TEXT NOT NULL,            -- '' = every node of the group
	node_name TEXT NOT NULL,
	active BIGINT NOT NULL,           -- the wish
	ssl_enabled BIGINT NOT NULL,
	settings TEXT NOT NULL,           -- JSON: those that are not the default
	version BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE INDEX lb_routes_by_tenant ON lb_routes (tenant_id, id);
CREATE INDEX lb_routes_by_user ON lb_routes (user_id, id);

-- Which pools a route uses: its own, those of a weighted split, the one that gets copies.
CREATE TABLE lb_route_pools (
	tenant_id TEXT NOT NULL,
	route_id TEXT NOT NULL,
	pool_id TEXT NOT NULL,
	group_id TEXT NOT NULL,           -- of the route: where the pool is needed
	PRIMARY KEY (route_id, pool_id)
);
CREATE INDEX lb_route_pools_by_pool ON lb_route_pools (pool_id, group_id);

-- One row per host name and scheme of a route: that two routes never match the very same requests is what this table is for.
CREATE TABLE lb_route_hosts (
	tenant_id TEXT NOT NULL,
	group_id TEXT NOT NULL,
	protocol TEXT NOT NULL,           -- http, tls: which of the shared ports
	name TEXT NOT NULL,
	route_key TEXT NOT NULL,          -- path, methods and fields that it matches
	route_id TEXT NOT NULL,
	PRIMARY KEY (group_id, protocol, name, route_key)
);
CREATE INDEX lb_route_hosts_by_route ON lb_route_hosts (route_id);
