-- compatible: 37
-- Certificates that a CA gives by itself (ACME), what relays answer it, and what CAs say of certificates (OCSP). Times are
-- milliseconds since 1970.

-- Operational, but for what the change log says of its certificate.
CREATE TABLE certificate_orders (
	certificate_id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	challenge TEXT NOT NULL,          -- http-01, tls-alpn-01
	url TEXT NOT NULL,                -- of the order under way at the CA; '' for none
	request BLOB NOT NULL,            -- of that order: the private key and the request, sealed; empty for none
	due_ms BIGINT NOT NULL,           -- when the next certificate is wanted
	failures BIGINT NOT NULL,         -- since the last one came
	error TEXT NOT NULL,              -- the last one since then
	error_ms BIGINT NOT NULL,
	waiting TEXT NOT NULL             -- names of relays that have not confirmed the answers, by comma
);
CREATE INDEX certificate_orders_by_due ON certificate_orders (due_ms);

-- Logged: relays run it.
CREATE TABLE certificate_answers (
	id TEXT NOT NULL PRIMARY KEY,
	certificate_id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	host TEXT NOT NULL,
	body BLOB NOT NULL,               -- as relays get it, sealed
	until_ms BIGINT NOT NULL,
	seq BIGINT NOT NULL               -- number of its newest change in the log
);
CREATE INDEX certificate_answers_by_certificate ON certificate_answers (certificate_id);
CREATE INDEX certificate_answers_by_end ON certificate_answers (until_ms);

ALTER TABLE certificates ADD COLUMN must_staple BIGINT NOT NULL DEFAULT 0;
ALTER TABLE certificates ADD COLUMN ocsp_url TEXT NOT NULL DEFAULT '';
-- Operational: when its CA is to be asked next, how often that failed since the last answer, and why.
ALTER TABLE certificates ADD COLUMN ocsp_due_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE certificates ADD COLUMN ocsp_failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE certificates ADD COLUMN ocsp_error TEXT NOT NULL DEFAULT '';
CREATE INDEX certificates_by_ocsp_due ON certificates (ocsp_due_ms);
