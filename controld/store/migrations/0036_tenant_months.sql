-- compatible: 35
-- What a tenant's totals were when a month began (operational), and what it wants of forecasts (logged).
CREATE TABLE tenant_months (
	tenant_id TEXT NOT NULL,
	start_ms BIGINT NOT NULL,         -- of the month, UTC
	requests BIGINT NOT NULL,
	bytes_in BIGINT NOT NULL,
	bytes_out BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, start_ms)
);

CREATE TABLE ai_configs (
	tenant_id TEXT NOT NULL PRIMARY KEY,
	enabled BIGINT NOT NULL,
	model_type TEXT NOT NULL,
	confidence_threshold DOUBLE PRECISION NOT NULL,
	predictive_scaling BIGINT NOT NULL,
	learning_rate DOUBLE PRECISION NOT NULL,
	version BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL
);
