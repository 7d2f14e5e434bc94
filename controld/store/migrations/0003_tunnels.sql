-- Mappings and the ports they hold (logged); what passed through them (operational). Times are milliseconds since 1970.

CREATE TABLE mappings (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,            -- '' when an API key of no user made it
	name TEXT NOT NULL,
	description TEXT NOT NULL,
	group_id TEXT NOT NULL,
	group_name TEXT NOT NULL,         -- as the caller wrote it
	node_id TEXT NOT NULL,            -- '' = every node of the group
	node_name TEXT NOT NULL,
	active BIGINT NOT NULL,           -- the wish
	protocol TEXT NOT NULL,
	bind_address TEXT NOT NULL,       -- '' = every address
	source_port BIGINT NOT NULL,
	source_port_end BIGINT NOT NULL,
	target_host TEXT NOT NULL,
	target_port BIGINT NOT NULL,
	dial_any BIGINT NOT NULL,         -- the target was written by a system administrator
	expires_ms BIGINT NOT NULL,       -- 0 = never
	settings TEXT NOT NULL,           -- JSON: those that are not the default
	version BIGINT NOT NULL,          -- of the row, for If-Match
	seq BIGINT NOT NULL,              -- number of its newest change in the log
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE INDEX mappings_by_tenant ON mappings (tenant_id, id);
CREATE INDEX mappings_by_user ON mappings (user_id, id);

-- One row per port held: that two mappings never hold the same one is what this table is for.
CREATE TABLE ports (
	tenant_id TEXT NOT NULL,
	group_id TEXT NOT NULL,
	protocol TEXT NOT NULL,
	port BIGINT NOT NULL,
	address TEXT NOT NULL,            -- '' = every address
	family BIGINT NOT NULL,           -- 4, 6; 0 for every address
	wildcard BIGINT NOT NULL,         -- every address of its family
	mapping_id TEXT NOT NULL,
	PRIMARY KEY (group_id, protocol, port, address)
);
CREATE INDEX ports_by_mapping ON ports (mapping_id);

-- Which reports of a relay's boot are stored: claiming a number comes before storing what it brought.
CREATE TABLE meter_boots (
	tenant_id TEXT NOT NULL,          -- '': nodes belong to no tenant
	node_id TEXT NOT NULL,
	boot TEXT NOT NULL,
	number BIGINT NOT NULL,
	ended BIGINT NOT NULL,            -- the boot's last report is stored, its meters are gone
	updated_ms BIGINT NOT NULL,
	PRIMARY KEY (node_id, boot)
);

-- The newest value of each meter of a living boot, so that the next one can be turned into an increase.
CREATE TABLE meters (
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	node_id TEXT NOT NULL,
	boot TEXT NOT NULL,
	slot BIGINT NOT NULL,
	mapping_id TEXT NOT NULL,
	counters BLOB NOT NULL,           -- 8 bytes each, in the order of METER_COUNTERS
	PRIMARY KEY (node_id, boot, slot)
);

-- Totals. scope: mapping, user, tenant, node, system. A mapping's row stays when the mapping goes.
CREATE TABLE traffic (
	scope TEXT NOT NULL,
	tenant_id TEXT NOT NULL,          -- '' for node and system
	id TEXT NOT NULL,                 -- '' for system
	user_id TEXT NOT NULL,            -- of a mapping: who owns it
	active BIGINT NOT NULL,           -- connections now: opened less closed, of living boots
	bytes_in BIGINT NOT NULL,
	bytes_out BIGINT NOT NULL,
	packets_in BIGINT NOT NULL,
	packets_out BIGINT NOT NULL,
	opened BIGINT NOT NULL,
	closed BIGINT NOT NULL,
	refused_limit BIGINT NOT NULL,
	refused_source BIGINT NOT NULL,
	refused_cidr BIGINT NOT NULL,
	refused_proxy BIGINT NOT NULL,
	refused_dial BIGINT NOT NULL,
	refused_resource BIGINT NOT NULL,
	dropped_in BIGINT NOT NULL,
	dropped_out BIGINT NOT NULL,
	timed_out BIGINT NOT NULL,
	reset BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL,
	PRIMARY KEY (scope, id, tenant_id)
);
