-- Traffic over time. A row is the totals (table traffic of the main database) as they stood in one step of time, replaced
-- while the step lasts; what passed in a step is the difference to the row before. So nothing is ever added twice.

CREATE TABLE samples (
	tenant_id TEXT NOT NULL,          -- '' for node and system
	scope TEXT NOT NULL,
	id TEXT NOT NULL,
	step BIGINT NOT NULL,             -- length in ms: 10 s, 1 min, 1 h
	time_ms BIGINT NOT NULL,          -- where the step begins
	bytes_in BIGINT NOT NULL,
	bytes_out BIGINT NOT NULL,
	packets_in BIGINT NOT NULL,
	packets_out BIGINT NOT NULL,
	opened BIGINT NOT NULL,
	refused BIGINT NOT NULL,
	dropped BIGINT NOT NULL,
	active BIGINT NOT NULL,           -- connections, as seen last in the step
	PRIMARY KEY (scope, id, tenant_id, step, time_ms)
);
CREATE INDEX samples_by_age ON samples (step, time_ms);
