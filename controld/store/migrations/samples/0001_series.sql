-- Traffic over time. A sample is the totals (table traffic of the main database) as they stood in one step of time, replaced
-- while the step lasts; what passed in a step is the difference to the sample before. So nothing is ever added twice.

-- Whose samples: a number, because a row of numbers is a quarter as long as one with three names.
CREATE TABLE sample_subjects (
	number BIGINT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,          -- '' for node and system
	scope TEXT NOT NULL,
	id TEXT NOT NULL,
	UNIQUE (scope, id, tenant_id)
);

CREATE TABLE samples (
	subject BIGINT NOT NULL,          -- sample_subjects.number
	step BIGINT NOT NULL,             -- its length in ms: 10 s, 1 min, 1 h
	time_ms BIGINT NOT NULL,          -- where the step begins
	bytes_in BIGINT NOT NULL,
	bytes_out BIGINT NOT NULL,
	packets_in BIGINT NOT NULL,
	packets_out BIGINT NOT NULL,
	opened BIGINT NOT NULL,
	refused BIGINT NOT NULL,
	dropped BIGINT NOT NULL,
	active BIGINT NOT NULL,           -- connections, as seen last in the step
	PRIMARY KEY (subject, step, time_ms)
);

-- One row: up to when the totals have been sampled.
CREATE TABLE sample_state (
	sampled_ms BIGINT NOT NULL
);
INSERT INTO sample_state (sampled_ms) VALUES (0);
