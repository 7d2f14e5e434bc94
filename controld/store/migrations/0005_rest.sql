-- Answers of POST requests that carried an Idempotency-Key; status 0 while the first one runs. Kept for a day.
-- The body is sealed: an answer may hold a token or a secret that is shown once.
CREATE TABLE idempotency_keys (
	tenant_id    TEXT   NOT NULL,
	idem_key     TEXT   NOT NULL,
	route        TEXT   NOT NULL,
	request_hash TEXT   NOT NULL,
	status       BIGINT NOT NULL,
	content_type TEXT   NOT NULL,
	location     TEXT   NOT NULL,
	etag         TEXT   NOT NULL,
	body         BLOB   NOT NULL,
	created_ms   BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, idem_key, route)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_ms);
