-- compatible: 31
-- Addresses that get no mail any more, because it came back or was complained about. Logged. Times are milliseconds since 1970.
CREATE TABLE mail_suppressions (
	address TEXT NOT NULL PRIMARY KEY, -- in lower case
	tenant_id TEXT NOT NULL,           -- '': the platform's
	reason TEXT NOT NULL,
	created_ms BIGINT NOT NULL
);
