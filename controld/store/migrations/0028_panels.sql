-- compatible: 27
-- What hosting panels have, as it was last read, and how that was done. All of it operational: only that a sync began and
-- how it ended is in the change log. Times are milliseconds since 1970.

CREATE TABLE panel_objects (
	tenant_id TEXT NOT NULL,          -- '': the platform's
	panel TEXT NOT NULL,              -- pterodactyl, pelican, virtfusion
	kind TEXT NOT NULL,               -- location, node, allocation, nest, egg, server, user, database
	id BIGINT NOT NULL,               -- the panel's
	uuid TEXT NOT NULL,
	name TEXT NOT NULL,
	parent_id BIGINT NOT NULL,        -- of an allocation and a server: the node; and so on; or 0
	owner_id BIGINT NOT NULL,         -- of a server: the user; or 0
	active BIGINT NOT NULL,
	body TEXT NOT NULL,               -- JSON, as it is printed
	made_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	removed_ms BIGINT NOT NULL,       -- the panel has it no more since; 0: it is there
	PRIMARY KEY (tenant_id, panel, kind, id)
);
CREATE INDEX panel_objects_live ON panel_objects (kind, active, owner_id) WHERE removed_ms = 0;
CREATE INDEX panel_objects_removed ON panel_objects (removed_ms) WHERE removed_ms > 0;

-- Pages that a sync under way has written: what a new attempt need not read again, and what was seen.
CREATE TABLE panel_pages (
	job_id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	panel TEXT NOT NULL,
	list TEXT NOT NULL,
	parent_id BIGINT NOT NULL,
	page BIGINT NOT NULL,
	pages BIGINT NOT NULL,            -- of the list, as this one said
	total BIGINT NOT NULL,
	listed BIGINT NOT NULL,           -- items of the list itself
	failed BIGINT NOT NULL,           -- that could not be read
	failed_kinds BIGINT NOT NULL,     -- bit sets of kinds
	missing BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	ids BLOB NOT NULL,                -- of each object: its kind (1 byte), its id (8)
	PRIMARY KEY (job_id, panel, list, parent_id, page)
);

CREATE TABLE sync_logs (
	id TEXT NOT NULL PRIMARY KEY,     -- sorts by the time it was made
	tenant_id TEXT NOT NULL,
	job_id TEXT NOT NULL,
	type TEXT NOT NULL,               -- full, or the plural of a kind
	state TEXT NOT NULL,              -- PENDING, RUNNING, COMPLETED, FAILED, CANCELLED
	requested_by TEXT NOT NULL,
	error TEXT NOT NULL,
	items_total BIGINT NOT NULL,
	items_synced BIGINT NOT NULL,
	items_failed BIGINT NOT NULL,
	written BIGINT NOT NULL,          -- objects that were new or had changed
	removed BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	started_ms BIGINT NOT NULL,
	completed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX sync_logs_by_job ON sync_logs (job_id);
CREATE INDEX sync_logs_by_type ON sync_logs (type, id);
CREATE INDEX sync_logs_open ON sync_logs (id) WHERE completed_ms = 0;
