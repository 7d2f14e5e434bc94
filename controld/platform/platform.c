#include "controld/platform/platform.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/platform/repo.h"
#include "controld/platform/room.h"

#include <stdlib.h>

const struct sql_table *const platform_sql[] = { &setting_sql, &repo_sql };
const size_t platform_sql_n = ARRAY_LEN(platform_sql);

int platform_new(struct platform **out, const struct platform_conf *conf, struct err *e)
{
	struct platform *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "platform: out of memory");
	p->conf = *conf;
	*out = p;
	return 0;
}

void platform_free(struct platform *p)
{
	free(p);
}

/* ---- values in force --------------------------------------------------------------------------------------------- */

static void of_file(const struct platform *p, enum setting_key k, struct setting *out)
{
	out->kept = false;
	out->number = p->conf.number[k];
	(void)str_copy(out->text, sizeof out->text, p->conf.text[k] != NULL ? p->conf.text[k] : "");
}

int platform_read_in(const struct platform *p, struct db *db, struct settings_now *out, struct err *e)
{
	for (int k = 0; k < SETTING_KEYS_N; k++)
		of_file(p, (enum setting_key)k, &out->of[k]);
	return settings_now_read(db, out, e);
}

int platform_read(struct platform *p, struct settings_now *out, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	rc = platform_read_in(p, db, out, e);
	store_read_end(db);
	return rc;
}

static int read_one(struct platform *p, enum setting_key k, struct setting *out, struct err *e)
{
	struct db *db;
	int rc;

	of_file(p, k, out);
	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	rc = setting_read(db, k, out, e);
	store_read_end(db);
	return rc;
}

int platform_text(struct platform *p, enum setting_key k, char *dst, size_t size, struct err *e)
{
	struct setting s = { 0 };
	int rc = read_one(p, k, &s, e);

	if (rc == 0 && str_copy(dst, size, s.text) != 0)
		rc = err_set(e, ERR_TOO_LARGE, NULL, "setting %s: too long", setting_name(k));
	seal_wipe(&s, sizeof s);
	return rc;
}

int platform_number(struct platform *p, enum setting_key k, int64_t *out, struct err *e)
{
	struct setting s = { 0 };

	if (read_one(p, k, &s, e) != 0)
		return -1;
	*out = s.number;
	return 0;
}

struct route_table platform_routes(struct platform *p)
{
	return (struct route_table){ platform_rows, platform_rows_n, p };
}
