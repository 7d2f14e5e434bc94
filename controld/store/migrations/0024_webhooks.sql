-- compatible: 23
-- Webhooks and what is on its way to them. Times are milliseconds since 1970.

-- Logged.
CREATE TABLE webhooks (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	name TEXT NOT NULL,
	format TEXT NOT NULL,             -- what bodies look like: generic
	url BLOB NOT NULL,                -- sealed: whoever knows it may often post there
	url_shown TEXT NOT NULL,          -- as it is printed
	secret BLOB NOT NULL,             -- sealed
	events TEXT NOT NULL,             -- by comma: *, mapping.*, mapping.created
	enabled BIGINT NOT NULL,
	paused TEXT NOT NULL,             -- why nothing is sent for now, or ''
	from_seq BIGINT NOT NULL,         -- changes up to here are not for it
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE INDEX webhooks_by_tenant ON webhooks (tenant_id, id);

-- Operational, as all that follows: what waits for a webhook, and who is at it.
CREATE TABLE webhook_queues (
	webhook_id TEXT NOT NULL PRIMARY KEY,
	waiting BIGINT NOT NULL,          -- deliveries that are pending
	dropped BIGINT NOT NULL,          -- that found no room
	failures BIGINT NOT NULL,         -- attempts in a row
	due_ms BIGINT NOT NULL,           -- no attempt before
	take BIGINT NOT NULL,             -- rises with every taking: who writes must know it
	held_until_ms BIGINT NOT NULL,    -- somebody is at it
	last_status BIGINT NOT NULL,
	last_error TEXT NOT NULL,
	last_ok_ms BIGINT NOT NULL
);
CREATE INDEX webhook_queues_due ON webhook_queues (due_ms) WHERE waiting > 0;

CREATE TABLE webhook_deliveries (
	id TEXT NOT NULL PRIMARY KEY,
	webhook_id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	seq BIGINT NOT NULL,              -- of the change; 0 for a test
	event TEXT NOT NULL,
	state TEXT NOT NULL,              -- pending, delivered, refused, failed (a test)
	body TEXT NOT NULL,               -- '' once it has ended
	attempts BIGINT NOT NULL,
	status BIGINT NOT NULL,           -- of the last answer; 0: there was none
	latency_ms BIGINT NOT NULL,
	error TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	ended_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (webhook_id, seq) WHERE seq > 0;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, seq) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_by_tenant ON webhook_deliveries (tenant_id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_ms) WHERE ended_ms > 0;

-- How far readers of the change log have come.
CREATE TABLE log_readers (
	name TEXT NOT NULL PRIMARY KEY,
	seq BIGINT NOT NULL
);
