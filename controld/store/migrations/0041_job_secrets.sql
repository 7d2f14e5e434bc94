-- compatible: 41
-- Secret members of a job's arguments, sealed; an older controld would run such a job without them, so none goes on.
-- NULL: from before that, and split at the next start.
ALTER TABLE jobs ADD COLUMN sealed BLOB;
CREATE INDEX jobs_sealed ON jobs (id) WHERE sealed IS NULL OR length(sealed) > 0;
