-- compatible: 43
-- What relays may still take of a tenant's requests of a month (operational): what one holds and controld has not counted yet is kept
-- apart for it.
CREATE TABLE request_grants (
	tenant_id TEXT NOT NULL,
	node_id TEXT NOT NULL,
	boot TEXT NOT NULL,
	held BIGINT NOT NULL,             -- requests since that boot that the relay may take
	settled BIGINT NOT NULL,          -- of these, in counters that are stored
	updated_ms BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, node_id, boot)
);
