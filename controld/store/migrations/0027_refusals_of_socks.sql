-- compatible: 26
-- Why a SOCKS5 client was refused: not who may come in, not where it may go, not what the protocol says.
ALTER TABLE traffic ADD COLUMN refused_login BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic ADD COLUMN refused_destination BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic ADD COLUMN refused_protocol BIGINT NOT NULL DEFAULT 0;
