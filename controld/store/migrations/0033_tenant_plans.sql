-- compatible: 32
-- What a tenant has booked, and how much it may have.
ALTER TABLE tenants ADD COLUMN plan TEXT NOT NULL DEFAULT '';                    -- '' = none: nothing is limited by it
ALTER TABLE tenants ADD COLUMN max_users BIGINT NOT NULL DEFAULT 0;              -- 0 = no limit
ALTER TABLE tenants ADD COLUMN max_requests_per_month BIGINT NOT NULL DEFAULT 0; -- 0 = no limit
