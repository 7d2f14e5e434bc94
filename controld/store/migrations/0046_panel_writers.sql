-- compatible: 45
-- Which sync wrote an object, by the number of its beginning in the change log, which rises whatever clocks do; 0: not known. An
-- older controld leaves the numbers as they are: what its syncs find new may be called gone by one that is begun again after
-- them, until the next.

ALTER TABLE panel_objects ADD COLUMN sync_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sync_logs ADD COLUMN started_seq BIGINT NOT NULL DEFAULT 0; -- 0: it has not begun
