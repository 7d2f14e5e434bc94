-- How often controld picked a mapping's ports because nobody asked for certain ones; 0: they are settled and stay.
ALTER TABLE mappings ADD COLUMN port_picks BIGINT NOT NULL DEFAULT 0;
CREATE INDEX mappings_picked ON mappings (id) WHERE port_picks > 0;
