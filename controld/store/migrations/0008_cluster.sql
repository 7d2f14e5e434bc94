-- compatible: 7
-- Several controlds on one database: which of them there are, what one of them does for all, what they tell each other.
-- All operational. Times are milliseconds since 1970.

CREATE TABLE controlds (
	id TEXT NOT NULL PRIMARY KEY,     -- of one run of one process
	tenant_id TEXT NOT NULL,          -- '': they belong to the platform
	name TEXT NOT NULL,
	version TEXT NOT NULL,
	address TEXT NOT NULL,            -- of its API
	line_address TEXT NOT NULL,       -- where relays come in
	schema_number BIGINT NOT NULL,    -- newest migration that it knows
	started_ms BIGINT NOT NULL,
	seen_ms BIGINT NOT NULL,          -- by its own clock
	beat BIGINT NOT NULL,             -- rises as long as it lives
	seq BIGINT NOT NULL               -- up to where it has read the change log
);

-- What is done every now and then, by one controld for all of them.
CREATE TABLE leases (
	name TEXT NOT NULL PRIMARY KEY,
	holder TEXT NOT NULL,             -- controlds.id
	until_ms BIGINT NOT NULL,         -- it is being done; 0: it is not
	ran_ms BIGINT NOT NULL            -- when it was begun last
);

-- Messages between controlds that are too long for a notification. Kept for minutes.
CREATE TABLE peer_messages (
	id TEXT NOT NULL PRIMARY KEY,
	body BLOB NOT NULL,
	created_ms BIGINT NOT NULL
);
CREATE INDEX peer_messages_by_age ON peer_messages (created_ms);

-- Guessing of passwords: a fixed number of slots, each with the pair of address and account that used it last.
CREATE TABLE login_throttle (
	slot BIGINT NOT NULL PRIMARY KEY,
	pair TEXT NOT NULL,               -- keyed hash, hex
	attempts BIGINT NOT NULL,         -- without a success
	last_ms BIGINT NOT NULL,
	ready_ms BIGINT NOT NULL          -- the next attempt may be made from here on
);

-- At which controld the relay is: the only one that says how it stands.
ALTER TABLE node_seen ADD COLUMN controld_id TEXT NOT NULL DEFAULT '';
