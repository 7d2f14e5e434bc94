-- compatible: 19
-- What relays may still pass of a user's quota (operational): what one holds and controld has not counted yet is kept apart for it.

CREATE TABLE quota_grants (
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	node_id TEXT NOT NULL,
	boot TEXT NOT NULL,
	held BIGINT NOT NULL,             -- bytes since that boot that the relay may pass
	settled BIGINT NOT NULL,          -- of these, in counters that are stored
	updated_ms BIGINT NOT NULL,
	PRIMARY KEY (user_id, node_id, boot)
);
