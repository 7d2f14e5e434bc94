-- compatible: 29
-- Certificates of web sites, and the keys of TLS tickets. Logged. Times are milliseconds since 1970.

CREATE TABLE certificates (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,            -- '' when an API key of no user brought it
	name TEXT NOT NULL,               -- for people
	names TEXT NOT NULL,              -- host names and wildcards that it is good for, by comma
	chain TEXT NOT NULL,              -- PEM, the site's own first
	private_key BLOB NOT NULL,        -- sealed
	ocsp TEXT NOT NULL,               -- what its CA says of it, DER in base64url; '' for nothing
	ocsp_until_ms BIGINT NOT NULL,
	issuer TEXT NOT NULL,
	key_type TEXT NOT NULL,
	serial TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	not_before_ms BIGINT NOT NULL,
	not_after_ms BIGINT NOT NULL,
	version BIGINT NOT NULL,          -- of the row, for If-Match
	seq BIGINT NOT NULL,              -- number of its newest change in the log
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE INDEX certificates_by_tenant ON certificates (tenant_id, id);

CREATE TABLE certificate_names (
	certificate_id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (certificate_id, name)
);
CREATE INDEX certificate_names_by_name ON certificate_names (tenant_id, name);
CREATE INDEX lb_route_hosts_by_tenant ON lb_route_hosts (tenant_id, name);

-- One row: the keys themselves are one of the secrets.
CREATE TABLE ticket_keys (
	id BIGINT NOT NULL PRIMARY KEY,
	due_ms BIGINT NOT NULL,           -- when to look at them again
	seq BIGINT NOT NULL               -- number of their newest change in the log
);
