#include "controld/platform/setting.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/out/guard.h"
#include "controld/rest/schema.h"
#include "controld/rest/schema_format.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN   "***"
#define CONTEXT "platform-setting:"

static const struct row {
	const char *name;
	enum setting_kind kind;
	int64_t min, max;
	const char *help;
} rows[] = {
#define X(name, api, kind, min, max, help) { api, SETTING_IS_##kind, min, max, help },
	SETTING_KEYS(X)
#undef X
};

enum { SQL_ALL, SQL_GET, SQL_PUT, SQL_DROP, SQL_STALE, SQL_RESEAL };
static const char put[] =
	"INSERT INTO platform_settings (name, tenant_id, value, sealed, updated_ms, updated_by) "
	"VALUES (?1, '', ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE SET value = excluded.value, "
	"sealed = excluded.sealed, updated_ms = excluded.updated_ms, updated_by = excluded.updated_by";
static const char stale[] = "SELECT name, sealed FROM platform_settings WHERE length(sealed) > 0 AND "
			    "substr(sealed, 1, 5) <> ?1 ORDER BY name LIMIT ?2";
static const char reseal[] = "UPDATE platform_settings SET sealed = ?2 WHERE name = ?1 AND sealed = ?3";
static const char *const sql[] = {
	[SQL_ALL] = "SELECT name, value, sealed, updated_ms, updated_by FROM platform_settings",
	[SQL_GET] = "SELECT name, value, sealed, updated_ms, updated_by FROM platform_settings WHERE name = ?1",
	[SQL_PUT] = put,
	[SQL_DROP] = "DELETE FROM platform_settings WHERE name = ?1",
	[SQL_STALE] = stale,
	[SQL_RESEAL] = reseal,
};
const struct sql_table setting_sql = { "platform setting", sql, ARRAY_LEN(sql) };
const struct sealed_column setting_sealed = { "platform_settings.sealed", CONTEXT, false, stale, reseal };

/* Names that this build does not know are left alone: a newer controld may have written them. */
int setting_find(const char *api_name)
{
	for (int k = 0; k < SETTING_KEYS_N; k++)
		if (str_eq(rows[k].name, api_name))
			return k;
	return -1;
}

const char *setting_name(enum setting_key k)
{
	return rows[k].name;
}

static bool is_number(enum setting_key k)
{
	return rows[k].kind == SETTING_IS_BOOL || rows[k].kind == SETTING_IS_NUMBER;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static int context_of(char *dst, size_t size, enum setting_key k)
{
	return str_fmt(dst, size, CONTEXT "%s", rows[k].name);
}

static int unseal(struct db *db, struct query *q, enum setting_key k, struct setting *out, struct err *e)
{
	char context[96];
	struct buf plain;
	size_t n;
	const void *sealed = query_blob(q, 2, &n);
	int rc;

	(void)context_of(context, sizeof context, k);
	buf_init(&plain, SETTING_TEXT_MAX + 1);
	if ((rc = secrets_unseal(db, context, sealed, n, &plain, e)) == 0)
		(void)str_copy(out->text, sizeof out->text, buf_cstr(&plain));
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}

static int load(struct db *db, struct query *q, enum setting_key k, struct setting *out, struct err *e)
{
	const char *value = query_text(q, 1);

	out->kept = true;
	out->updated_ms = query_int(q, 3);
	(void)str_copy(out->updated_by, sizeof out->updated_by, query_text(q, 4));
	if (rows[k].kind == SETTING_IS_SECRET)
		return unseal(db, q, k, out, e);
	if (is_number(k))
		return str_to_i64(value, INT64_MIN, INT64_MAX, &out->number) == 0
		               ? 0
		               : err_set(e, ERR_STORAGE, NULL, "setting %s: '%.20s' is no number", rows[k].name, value);
	return str_copy(out->text, sizeof out->text, value);
}

int settings_now_read(struct db *db, struct settings_now *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ALL], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const int k = setting_find(query_text(q, 0));

		if (k >= 0 && load(db, q, (enum setting_key)k, &out->of[k], e) != 0) {
			rc = -1;
			break;
		}
	}
	query_end(q);
	return rc;
}

int setting_read(struct db *db, enum setting_key k, struct setting *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(rows[k].name)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		rc = load(db, q, k, out, e);
	query_end(q);
	return rc;
}

int setting_put(struct db *tx, enum setting_key k, const struct setting *s, struct err *e)
{
	char context[96], number[24];
	const char *value = s->text;
	struct buf sealed;
	int rc = 0;

	(void)str_fmt(number, sizeof number, "%" PRId64, s->number);
	(void)context_of(context, sizeof context, k);
	buf_init(&sealed, SETTING_TEXT_MAX + SECRETS_OVERHEAD);
	if (is_number(k))
		value = number;
	if (rows[k].kind == SETTING_IS_SECRET) {
		rc = secrets_seal(tx, context, s->text, strlen(s->text), &sealed, e);
		value = "";
	}
	if (rc == 0)
		rc = db_exec(tx, sql[SQL_PUT], e, bind_s(rows[k].name), bind_s(value),
			bind_b(sealed.len > 0 ? (const void *)sealed.data : "", sealed.len), bind_i(s->updated_ms),
			bind_s(s->updated_by));
	buf_free(&sealed);
	return MIN(rc, 0);
}

int setting_drop(struct db *tx, enum setting_key k, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DROP], e, bind_s(rows[k].name)), 0);
}

/* ---- what was sent ----------------------------------------------------------------------------------------------- */

static void refuse(enum setting_key k, const json_t *v, const char *wanted, struct err_list *errs)
{
	char *given = rows[k].kind == SETTING_IS_SECRET ? NULL : json_dumps(v, JSON_ENCODE_ANY);

	err_list_add(errs, ERR_VALIDATION, rows[k].name, "range", given != NULL ? given : SHOWN,
		"%s: must be %s from %" PRId64 " to %" PRId64 " (%s)", rows[k].name, wanted, rows[k].min, rows[k].max,
		rows[k].help);
	free(given);
}

static void take_number(enum setting_key k, const json_t *v, struct setting *out, struct err_list *errs)
{
	const bool whole = rows[k].kind == SETTING_IS_BOOL ? json_is_boolean(v) : json_is_integer(v);

	out->number = json_is_boolean(v) ? json_is_true(v) : json_integer_value(v);
	if (!whole || out->number < rows[k].min || out->number > rows[k].max)
		refuse(k, v, rows[k].kind == SETTING_IS_BOOL ? "true or false," : "a whole number", errs);
}

static void take_text(
	enum setting_key k, const json_t *v, const struct guard *guard, struct setting *out, struct err_list *errs)
{
	const char *s = json_string_value(v);
	struct err e = { 0 };

	if (s == NULL || (int64_t)strlen(s) > rows[k].max || strlen(s) != json_string_length(v) ||
		strpbrk(s, "\r\n") != NULL) /* they become headers */
		refuse(k, v, "a text of one line,", errs);
	else if (k == SETTING_SYNC_REPORT_EMAIL && *s != '\0' && !schema_format_ok(SCHEMA_FORMAT_EMAIL, s))
		err_list_add(errs, ERR_VALIDATION, rows[k].name, "format", s, "%s: must be an address, name@host",
			rows[k].name);
	else if (rows[k].kind == SETTING_IS_URL && *s != '\0' && guard_check_url(guard, rows[k].name, s, &e) != 0)
		err_list_add(errs, e.code, e.field, e.constraint, e.value, "%s", e.msg);
	else
		(void)str_copy(out->text, sizeof out->text, s);
}

void setting_take(enum setting_key k, const json_t *v, const struct guard *guard, struct setting *out, bool *reset,
	bool *same, struct err_list *errs)
{
	*reset = json_is_null(v);
	*same = rows[k].kind == SETTING_IS_SECRET && str_eq(json_string_value(v), SHOWN);
	if (*reset || *same)
		return;
	if (is_number(k))
		take_number(k, v, out, errs);
	else
		take_text(k, v, guard, out, errs);
}

void setting_print(struct buf *b, enum setting_key k, const struct setting *s)
{
	const char *name = rows[k].name;

	switch (rows[k].kind) {
	case SETTING_IS_BOOL:
		jsonw_bool(b, name, s->number != 0);
		break;
	case SETTING_IS_NUMBER:
		jsonw_int(b, name, s->number);
		break;
	case SETTING_IS_SECRET:
		jsonw_str_or_null(b, name, s->text[0] != '\0' ? SHOWN : "");
		break;
	default:
		jsonw_str_or_null(b, name, s->text);
	}
}

/* ---- schema ------------------------------------------------------------------------------------------------------ */

/* Values are checked by setting_take(), which says more: here is what they are called. */
static const struct schema_field fields[] = {
#define X(name, api, kind, min, max, help) { api, SCHEMA_ANY, SCHEMA_NULLABLE, 0, 0, NULL, 0, 0, NULL, help },
	SETTING_KEYS(X)
#undef X
};
const struct schema setting_schema = { "PlatformSettings", fields, ARRAY_LEN(fields), false };
