-- compatible: 16
-- Two more reasons why a connection is refused: no agent of its client has a target that works; the owner's quota is used up.
ALTER TABLE traffic ADD COLUMN refused_down BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic ADD COLUMN refused_quota BIGINT NOT NULL DEFAULT 0;
