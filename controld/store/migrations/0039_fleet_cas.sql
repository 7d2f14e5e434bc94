-- compatible: 38
-- The CAs of the fleet (logged): the newest one signs. The keys are secrets, and there is one of the newest only.

CREATE TABLE fleet_cas (
	id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL,
	fingerprint TEXT NOT NULL,        -- SHA-256 of the certificate, hex
	cert_pem TEXT NOT NULL,
	cross_pem TEXT NOT NULL,          -- its key, signed by the CA before; '' = there was none
	seq BIGINT NOT NULL,              -- change that made it; 0 = the first one
	made_ms BIGINT NOT NULL,
	retired_ms BIGINT NOT NULL        -- 0 = relays and controlds trust it
);

-- Which step of the CAs a certificate came with (each rotation and each retirement is one), and whether a relay has come with it.
ALTER TABLE node_certs ADD COLUMN ca_step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE node_certs ADD COLUMN used_ms BIGINT NOT NULL DEFAULT 1;
