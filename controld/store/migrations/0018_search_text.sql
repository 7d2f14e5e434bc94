-- compatible: 18
-- What is written by a controld that does not know it would not be found, so none of before this may run beside one that has it.

-- The full-text index of each database instead of a table of words. An object's words stand in one text, between blanks; words
-- that begin with "=" are marks of the index itself ("=tTENANT", "=kKIND"), which no word of an object is.

CREATE TABLE search_entries (
	n BIGINT PRIMARY KEY,             -- in the order of creation: what is found comes in this order
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	title TEXT NOT NULL,
	words TEXT NOT NULL
);
CREATE UNIQUE INDEX search_entries_by_object ON search_entries (kind, id);
CREATE INDEX search_entries_by_tenant ON search_entries (tenant_id, n);

-- only sqlite
INSERT INTO search_entries (n, kind, id, tenant_id, title, words) SELECT row_number() OVER (ORDER BY o.kind, o.id), o.kind, o.id,
	o.tenant_id, o.title, ' =t' || o.tenant_id || ' =k' || o.kind || ' ' || coalesce((SELECT group_concat(w.word, ' ') FROM
	search_words w WHERE w.kind = o.kind AND w.id = o.id), '') || ' ' FROM search_objects o;

-- What is written to the table is written to the index beside it (sqlite_search.c): triggers would need a schema that is trusted.
-- Beginnings of up to 16 letters have a list of their own, however many words have them.
DROP TABLE IF EXISTS search_fts;
CREATE VIRTUAL TABLE search_fts USING fts5(words, content = 'search_entries', content_rowid = 'n', detail = none, columnsize = 0,
	tokenize = "ascii tokenchars '=_'", prefix = '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16');
INSERT INTO search_fts (search_fts) VALUES ('rebuild');

-- only postgresql
INSERT INTO search_entries (n, kind, id, tenant_id, title, words) SELECT row_number() OVER (ORDER BY o.kind, o.id), o.kind, o.id,
	o.tenant_id, o.title, ' =t' || o.tenant_id || ' =k' || o.kind || ' ' || coalesce((SELECT string_agg(w.word, ' ') FROM
	search_words w WHERE w.kind = o.kind AND w.id = o.id), '') || ' ' FROM search_objects o;

CREATE INDEX search_entries_by_word ON search_entries USING gin (array_to_tsvector(string_to_array(trim(words), ' ')))
	WITH (fastupdate = off);

-- all
DROP TABLE search_words;
DROP TABLE search_objects;
