-- compatible: 36
-- Each row of the change log has the digest of its object, and a hash of itself and of the row before. '': from before that.

ALTER TABLE changes ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN chain TEXT NOT NULL DEFAULT '';
