-- compatible: 18
-- Jobs, their log lines, and what starts them by the clock. Times are milliseconds since 1970.

-- Operational: only the end of a job, and what people do to one, is in the change log.
CREATE TABLE jobs (
	id TEXT NOT NULL PRIMARY KEY,     -- sorts by the time it was made
	tenant_id TEXT NOT NULL,          -- '': the platform's
	user_id TEXT NOT NULL,            -- who asked for it, or ''
	actor TEXT NOT NULL,
	request_id TEXT NOT NULL,
	schedule_id TEXT NOT NULL,        -- what started it, or ''
	kind TEXT NOT NULL,
	queue TEXT NOT NULL,              -- critical, default, low
	state TEXT NOT NULL,              -- scheduled, queued, running, completed, dead, cancelled
	priority BIGINT NOT NULL,         -- within its queue; more is sooner
	args TEXT NOT NULL,               -- JSON object
	unique_key TEXT,                  -- what no two jobs do at once
	active_key TEXT,                  -- the same as long as it has not ended
	created_ms BIGINT NOT NULL,
	due_ms BIGINT NOT NULL,           -- not before
	started_ms BIGINT NOT NULL,       -- the last attempt; 0: none yet
	ended_ms BIGINT NOT NULL,
	failures BIGINT NOT NULL,         -- attempts that failed
	failures_max BIGINT NOT NULL,     -- as many make it dead
	crashes BIGINT NOT NULL,          -- holders that died with it since it saved its state last
	lease BIGINT NOT NULL,            -- rises with every taking: who writes must know it
	holder TEXT NOT NULL,             -- the controld that runs it, or ''
	cancel BIGINT NOT NULL,           -- 1: it is asked to stop
	total BIGINT NOT NULL,            -- progress; 0: not known
	done BIGINT NOT NULL,
	failed BIGINT NOT NULL,
	rate DOUBLE PRECISION NOT NULL,   -- per second
	note TEXT NOT NULL,               -- what it is at
	saved TEXT NOT NULL,              -- up to where it is done already, in words of its kind
	result TEXT,                      -- JSON
	error_code TEXT NOT NULL,         -- of the last failure
	error TEXT NOT NULL,
	log_next BIGINT NOT NULL,         -- number of its next log line
	version BIGINT NOT NULL
);
CREATE INDEX jobs_queued ON jobs (queue, priority DESC, id) WHERE state = 'queued';
CREATE INDEX jobs_scheduled ON jobs (due_ms) WHERE state = 'scheduled';
CREATE INDEX jobs_running ON jobs (holder) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (queue) WHERE state = 'dead';
CREATE INDEX jobs_ended ON jobs (ended_ms) WHERE ended_ms > 0;
CREATE UNIQUE INDEX jobs_active ON jobs (active_key);
CREATE INDEX jobs_by_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_by_user ON jobs (user_id);

CREATE TABLE job_logs (
	job_id TEXT NOT NULL,
	n BIGINT NOT NULL,
	time_ms BIGINT NOT NULL,
	level TEXT NOT NULL,              -- info, warn, error
	text TEXT NOT NULL,
	PRIMARY KEY (job_id, n)
);

-- Controlds that hold jobs: `beat` rises as long as they live.
CREATE TABLE job_holders (
	holder TEXT NOT NULL PRIMARY KEY,
	beat BIGINT NOT NULL
);

-- Logged, but for where they stand.
CREATE TABLE schedules (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	name TEXT NOT NULL,
	kind TEXT NOT NULL,
	args TEXT NOT NULL,
	cron TEXT NOT NULL,
	time_zone TEXT NOT NULL,          -- IANA name, "UTC"
	missed TEXT NOT NULL,             -- skip, run_once
	paused BIGINT NOT NULL,
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX schedules_by_name ON schedules (tenant_id, name);
CREATE INDEX schedules_by_user ON schedules (user_id);

CREATE TABLE schedule_ticks (
	schedule_id TEXT NOT NULL PRIMARY KEY,
	next_ms BIGINT NOT NULL,          -- 0: never again, or paused
	last_ms BIGINT NOT NULL,          -- the last time that it was due
	last_job_id TEXT NOT NULL,
	missed BIGINT NOT NULL            -- how many runs were skipped
);
CREATE INDEX schedule_ticks_due ON schedule_ticks (next_ms) WHERE next_ms > 0;
