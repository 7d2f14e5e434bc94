-- Where mappings and relays have been: a relay's counters are taken for mappings that were placed on it at some time.
-- Rows stay when a mapping moves or goes, as a relay may report what passed long after. (operational)

CREATE TABLE placements (
	tenant_id TEXT NOT NULL,
	mapping_id TEXT NOT NULL,
	group_id TEXT NOT NULL,
	node_id TEXT NOT NULL,            -- '' = every node of the group
	PRIMARY KEY (mapping_id, group_id, node_id)
);
INSERT INTO placements (tenant_id, mapping_id, group_id, node_id) SELECT tenant_id, id, group_id, node_id FROM mappings;

CREATE TABLE node_homes (
	tenant_id TEXT NOT NULL,          -- '': nodes belong to no tenant
	node_id TEXT NOT NULL,
	group_id TEXT NOT NULL,
	PRIMARY KEY (node_id, group_id)
);
INSERT INTO node_homes (tenant_id, node_id, group_id) SELECT '', id, group_id FROM nodes;
