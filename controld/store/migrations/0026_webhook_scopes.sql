-- compatible: 25
-- Webhooks of the platform hear all tenants' changes and those of none (tenant_id ''). What a delivery is about, so that
-- the text that waits can be blanked when that goes for good.

ALTER TABLE webhooks ADD COLUMN type TEXT NOT NULL DEFAULT 'CUSTOM';
ALTER TABLE webhooks ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE webhook_deliveries ADD COLUMN subject TEXT NOT NULL DEFAULT '';
CREATE INDEX webhook_deliveries_by_subject ON webhook_deliveries (subject, seq) WHERE state = 'pending' AND subject <> '';
