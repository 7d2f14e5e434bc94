-- What the store itself needs: facts about this database, the change log, sealed secrets.

CREATE TABLE meta (
	key TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- One row per object touched, in commit order. tx is the seq of the first row of the same transaction.
CREATE TABLE changes (
	seq BIGINT PRIMARY KEY,
	tx BIGINT NOT NULL,
	time_ms BIGINT NOT NULL,
	tenant_id TEXT NOT NULL,
	actor TEXT NOT NULL,
	request_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	op TEXT NOT NULL,
	subject TEXT NOT NULL,
	fields TEXT NOT NULL,
	object TEXT
);
CREATE INDEX changes_kind ON changes (kind, seq);
CREATE INDEX changes_tenant ON changes (tenant_id, seq);
CREATE INDEX changes_subject ON changes (subject, seq);

CREATE TABLE secrets (
	name TEXT PRIMARY KEY,
	sealed BLOB NOT NULL,
	updated_at BIGINT NOT NULL
);
