-- compatible: 30
-- How backends are. What each relay says is operational; one state for each backend is logged when it changes.
CREATE TABLE lb_backend_standing (
	node_id TEXT NOT NULL,
	backend_id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	state BIGINT NOT NULL,            -- as in proto/backend_state.h
	reason TEXT NOT NULL,
	since_ms BIGINT NOT NULL,
	flaps BIGINT NOT NULL,            -- since that relay has it
	PRIMARY KEY (node_id, backend_id)
);
CREATE INDEX lb_backend_standing_by_backend ON lb_backend_standing (backend_id, node_id);
CREATE INDEX lb_backend_standing_by_tenant ON lb_backend_standing (tenant_id, backend_id);

CREATE TABLE lb_backend_health (
	backend_id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	state BIGINT NOT NULL,            -- the worst that a relay says
	since_ms BIGINT NOT NULL,
	flaps BIGINT NOT NULL,            -- of all relays when it was logged
	logged_ms BIGINT NOT NULL
);
CREATE INDEX lb_backend_health_by_tenant ON lb_backend_health (tenant_id, backend_id);
