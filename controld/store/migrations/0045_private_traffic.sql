-- compatible: 44
-- Of a mapping's total: the client that a private mapping leads from, which has its traffic as well; 0 = none. An older controld
-- adds to the client that serves it only.

ALTER TABLE traffic ADD COLUMN source_id BIGINT NOT NULL DEFAULT 0;
UPDATE traffic SET source_id = coalesce((SELECT m.source_client_id FROM mappings m WHERE m.id = traffic.id AND
	m.tenant_id = traffic.tenant_id), 0) WHERE scope = 'mapping';
