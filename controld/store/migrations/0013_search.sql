-- compatible: 12
-- Words of objects, to be searched by their beginnings (written with the object, operational). One row for each word.

CREATE TABLE search_objects (
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	tenant_id TEXT NOT NULL,
	title TEXT NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE INDEX search_objects_by_tenant ON search_objects (tenant_id);

CREATE TABLE search_words (
	tenant_id TEXT NOT NULL,
	word TEXT NOT NULL,               -- of a-z and 0-9 alone
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	PRIMARY KEY (tenant_id, word, kind, id)
);
CREATE INDEX search_words_by_object ON search_words (kind, id, word);
