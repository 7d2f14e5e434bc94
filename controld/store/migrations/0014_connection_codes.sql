-- compatible: 13
-- Words that open one target once (operational). Times are milliseconds since 1970.

CREATE TABLE connection_codes (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	client_id BIGINT NOT NULL,
	protocol BIGINT NOT NULL,         -- 1 tcp, 2 udp
	target_host TEXT NOT NULL,
	target_port BIGINT NOT NULL,
	lifetime_ms BIGINT NOT NULL,      -- of the port that it opens
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	hash TEXT NOT NULL UNIQUE         -- SHA-256 of the code, hex
);
CREATE INDEX connection_codes_by_tenant ON connection_codes (tenant_id, id);
CREATE INDEX connection_codes_by_expiry ON connection_codes (expires_ms);
