-- compatible: 10
-- Families of clients' refresh tokens (operational), as sessions are those of users. Times are milliseconds since 1970.

CREATE TABLE client_sessions (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	client_id BIGINT NOT NULL,
	used BIGINT NOT NULL,             -- highest generation that was presented, -1 = none
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL
);
CREATE INDEX client_sessions_by_client ON client_sessions (client_id, id);
CREATE INDEX client_sessions_by_expiry ON client_sessions (expires_ms);
