-- compatible: 22
-- Mappings that are told apart by host name on a shared port of the relays. A controld that does not know them would look for
-- their ports, so none of before this may run beside one that has it.
ALTER TABLE mappings ADD COLUMN host_names TEXT NOT NULL DEFAULT '';  -- by comma; '' = it holds ports

-- One row per name held, like ports: that two mappings never hold the same one is what this table is for.
CREATE TABLE host_names (
	tenant_id TEXT NOT NULL,
	group_id TEXT NOT NULL,
	protocol TEXT NOT NULL,           -- http, tls: which of the shared ports
	name TEXT NOT NULL,               -- lower case; or '*.' and a name, for all below it
	mapping_id TEXT NOT NULL,
	PRIMARY KEY (group_id, protocol, name)
);
CREATE INDEX host_names_by_mapping ON host_names (mapping_id);

-- What generated names end with, and where everybody may choose one; '' = nowhere.
ALTER TABLE node_groups ADD COLUMN domain TEXT NOT NULL DEFAULT '';
