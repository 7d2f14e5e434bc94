-- What a controld knows that is one migration ahead of this one (build/bin/controld-next); made for tests of upgrades.
ALTER TABLE mappings ADD COLUMN next_note TEXT NOT NULL DEFAULT '';
CREATE TABLE next_things (id TEXT NOT NULL PRIMARY KEY, tenant_id TEXT NOT NULL);
