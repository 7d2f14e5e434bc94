-- compatible: 22
-- How long targets took to be reached: how many were, and the sum of their times.
ALTER TABLE traffic ADD COLUMN connected BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic ADD COLUMN connect_us BIGINT NOT NULL DEFAULT 0;
