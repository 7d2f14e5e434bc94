/* The SQL of the house as PostgreSQL takes it. Strings, names in quotes and comments stay as they are. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/postgres.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX (1 << 20)

/* A remark to SQLite, where one program writes: rows that another transaction holds are left out, not waited for. */
#define SKIP_LOCKED "/* SKIP LOCKED */"

/* The end of what begins at p and is taken over as it is; p itself when it is no such thing. */
static const char *quoted_end(const char *p)
{
	const char *end;

	if (*p == '\'' || *p == '"') {
		end = strchr(p + 1, *p);
		return end != NULL ? end + 1 : p + strlen(p);
	}
	if (p[0] == '-' && p[1] == '-')
		return p + strcspn(p, "\n");
	return p;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) != 0 || c == '_';
}

/*
 * Texts sort by their bytes, as in SQLite: order and paging are the same on both, and an index does not depend on the
 * locale of the machine, which an upgrade of its C library may change.
 */
static void put_word(struct buf *b, const char *word, size_t n, bool types)
{
	if (n == 4 && memcmp(word, "BLOB", 4) == 0)
		buf_put(b, "BYTEA", 5);
	else if (types && n == 4 && memcmp(word, "TEXT", 4) == 0)
		buf_put(b, "TEXT COLLATE \"C\"", 16);
	else
		buf_put(b, word, n);
}

static const char *put_parameter(struct buf *b, const char *p, size_t *params)
{
	char *end = NULL;
	unsigned long n = strtoul(p + 1, &end, 10);

	buf_printf(b, "$%lu", n);
	*params = MAX(*params, (size_t)n);
	return end;
}

static void translate(struct buf *b, const char *sql, bool types, size_t *params)
{
	while (*sql != '\0') {
		const char *end = quoted_end(sql);

		if (end > sql) {
			buf_put(b, sql, (size_t)(end - sql));
		} else if (str_starts(sql, SKIP_LOCKED)) {
			buf_put(b, "FOR UPDATE SKIP LOCKED", 22);
			end = sql + strlen(SKIP_LOCKED);
		} else if (sql[0] == '?' && isdigit((unsigned char)sql[1]) != 0) {
			end = put_parameter(b, sql, params);
		} else if (is_word(*sql)) {
			while (is_word(*end))
				end++;
			put_word(b, sql, (size_t)(end - sql), types);
		} else {
			buf_put(b, sql, 1);
			end = sql + 1;
		}
		sql = end;
	}
}

char *postgres_sql(const char *sql, bool script, size_t *params, struct err *e)
{
	struct buf b;
	char *out;

	*params = 0;
	buf_init(&b, SQL_MAX);
	translate(&b, sql, script || str_starts(sql, "CREATE "), params);
	if ((out = strdup(buf_cstr(&b))) == NULL || b.failed) {
		free(out);
		out = NULL;
		err_set(e, ERR_NOMEM, NULL, "database: no room for a statement");
	}
	buf_free(&b);
	return out;
}
