-- compatible: 42
-- Operational: places that asked not to be called by any webhook for a while.
CREATE TABLE webhook_holds (
	place TEXT NOT NULL PRIMARY KEY,  -- "discord", or host and port of a URL
	until_ms BIGINT NOT NULL
);
