-- compatible: 46
-- When it was heard of a certificate's CA that it has revoked it; 0 = it has not. An older controld does not look.

ALTER TABLE certificates ADD COLUMN revoked_ms BIGINT NOT NULL DEFAULT 0;
