-- compatible: 42
-- What an API key is for. An older controld would let a key do all that its role may, so none goes on.
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '*'; -- by blank: "mappings:read clients:*"

-- Operational: when a key was last shown, and from where.
CREATE TABLE api_key_uses (
	key_id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	used_ms BIGINT NOT NULL,
	address TEXT NOT NULL
);
CREATE INDEX api_key_uses_by_tenant ON api_key_uses (tenant_id);
CREATE INDEX api_key_uses_by_user ON api_key_uses (user_id);
