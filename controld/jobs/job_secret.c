#include "controld/jobs/job_secret.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/jobs/job.h"
#include "controld/jobs/jobs.h"
#include "controld/store/db.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT     "job-args:" /* and the job's id */
#define SECRET_MAX  (2 * JOB_TEXT_MAX)
#define ADOPT_BATCH 100

enum { SQL_PLAIN, SQL_ADOPT, SQL_STALE, SQL_RESEAL };
static const char stale[] =
	"SELECT id, sealed FROM jobs WHERE length(sealed) > 0 AND substr(sealed, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal[] = "UPDATE jobs SET sealed = ?2 WHERE id = ?1 AND sealed = ?3";
static const char *const sql[] = {
	[SQL_PLAIN] = "SELECT id, kind, args FROM jobs WHERE sealed IS NULL AND id > ?1 ORDER BY id LIMIT ?2",
	[SQL_ADOPT] = "UPDATE jobs SET args = ?2, sealed = ?3 WHERE id = ?1 AND sealed IS NULL",
	[SQL_STALE] = stale,
	[SQL_RESEAL] = reseal,
};
const struct sql_table job_secret_sql = { "job_secret", sql, ARRAY_LEN(sql) };
const struct sealed_column job_sealed = { "jobs.sealed", CONTEXT, false, stale, reseal };

static void context_of(char context[64], const char *job_id)
{
	(void)str_fmt(context, 64, CONTEXT "%s", job_id);
}

/* ---- out of the arguments, and back ------------------------------------------------------------------------------ */

static bool is_secret(const struct schema_field *f, const json_t *args)
{
	return (f->flags & SCHEMA_SECRET) != 0 && json_object_get(args, f->name) != NULL;
}

bool job_secret_any(const struct job_kind *k, const json_t *args)
{
	for (size_t i = 0; k->args != NULL && i < k->args->n; i++)
		if (is_secret(&k->args->fields[i], args))
			return true;
	return false;
}

void job_secret_free(char *text)
{
	if (text != NULL)
		seal_wipe(text, strlen(text));
	free(text);
}

/* The secret members, as an object of its own; NULL: out of memory. */
static json_t *secrets_of(const struct job_kind *k, const json_t *args)
{
	json_t *out = json_object();

	for (size_t i = 0; out != NULL && k->args != NULL && i < k->args->n; i++)
		if (is_secret(&k->args->fields[i], args))
			(void)json_object_set(
				out, k->args->fields[i].name, json_object_get(args, k->args->fields[i].name));
	return out;
}

int job_secret_split(const struct job_kind *k, const json_t *args, char **open, char **secret, struct err *e)
{
	json_t *shown = kind_shown_args(k, args), *hidden = secrets_of(k, args);

	*open = *secret = NULL;
	if (shown != NULL)
		*open = json_dumps(shown, JSON_COMPACT | JSON_SORT_KEYS);
	if (json_object_size(hidden) > 0)
		*secret = json_dumps(hidden, JSON_COMPACT | JSON_SORT_KEYS);
	if (*open != NULL && hidden != NULL && (*secret != NULL || json_object_size(hidden) == 0)) {
		json_decref(shown);
		json_decref(hidden);
		return 0;
	}
	json_decref(shown);
	json_decref(hidden);
	free(*open);
	job_secret_free(*secret);
	*open = *secret = NULL;
	return err_set(e, ERR_NOMEM, NULL, "job: out of memory");
}

int job_secret_seal(struct db *tx, const char *job_id, const char *secret, struct buf *out, struct err *e)
{
	char context[64];

	if (secret == NULL)
		return 0;
	context_of(context, job_id);
	return secrets_seal(tx, context, secret, strlen(secret), out, e);
}

int job_secret_open(struct db *tx, const char *job_id, const void *sealed, size_t n, json_t *args, struct err *e)
{
	char context[64];
	struct buf plain;
	json_t *hidden = NULL;
	int rc;

	if (n == 0)
		return 0;
	context_of(context, job_id);
	buf_init(&plain, SECRET_MAX);
	if ((rc = secrets_unseal(tx, context, sealed, n, &plain, e)) == 0 &&
		((hidden = json_loadb((const char *)plain.data, plain.len, 0, NULL)) == NULL ||
			json_object_update(args, hidden) != 0))
		rc = err_set(e, ERR_NOMEM, NULL, "job %s: its arguments cannot be read", job_id);
	json_decref(hidden);
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}

/* ---- of before --------------------------------------------------------------------------------------------------- */

struct plain_job {
	char id[RAND_ID_SIZE];
	char kind[JOB_NAME_MAX + 1];
	json_t *args;
};

struct adopting {
	const struct kinds *kinds;
	char after[RAND_ID_SIZE]; /* the last one that was looked at in the batch before */
	struct plain_job rows[ADOPT_BATCH];
	size_t n;
	size_t sealed;
};

static void forget_rows(struct adopting *a)
{
	for (size_t i = 0; i < a->n; i++)
		json_decref(a->rows[i].args);
	a->n = 0;
}

static int read_rows(struct db *tx, struct adopting *a, struct err *e)
{
	struct query *q;
	int rc;

	forget_rows(a);
	if (db_query(tx, &q, sql[SQL_PLAIN], e, bind_s(a->after), bind_i(ADOPT_BATCH)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && a->n < ADOPT_BATCH) {
		struct plain_job *r = &a->rows[a->n++];

		(void)str_copy(r->id, sizeof r->id, query_text(q, 0));
		(void)str_copy(r->kind, sizeof r->kind, query_text(q, 1));
		r->args = json_loads(query_text(q, 2), 0, NULL);
	}
	query_end(q);
	return MIN(rc, 0);
}

static int seal_row(struct db *tx, const struct plain_job *r, const char *open, const char *secret, struct err *e)
{
	struct buf sealed;
	int rc;

	buf_init(&sealed, SECRET_MAX + SECRETS_OVERHEAD);
	if ((rc = job_secret_seal(tx, r->id, secret, &sealed, e)) == 0)
		rc = MIN(db_exec(tx, sql[SQL_ADOPT], e, bind_s(r->id), bind_s(open),
				 bind_b(sealed.len > 0 ? (const void *)sealed.data : "", sealed.len)),
			0);
	buf_free(&sealed);
	return rc;
}

/* Of a kind that nobody knows any more nobody knows what is secret: it stays, and is shown to nobody. */
static int adopt_row(struct db *tx, struct adopting *a, const struct plain_job *r, struct err *e)
{
	const struct job_kind *kind = kinds_find(a->kinds, r->kind, NULL);
	char *open, *secret;
	int rc;

	if (kind == NULL || r->args == NULL)
		return 0;
	if (job_secret_split(kind, r->args, &open, &secret, e) != 0)
		return -1;
	rc = seal_row(tx, r, open, secret, e);
	a->sealed += secret != NULL;
	free(open);
	job_secret_free(secret);
	return rc;
}

static int work_adopt(struct db *tx, void *arg, struct err *e)
{
	struct adopting *a = arg;

	a->sealed = 0;
	if (read_rows(tx, a, e) != 0)
		return -1;
	for (size_t i = 0; i < a->n; i++)
		if (adopt_row(tx, a, &a->rows[i], e) != 0)
			return -1;
	return 0;
}

int job_secret_adopt(struct store *s, const struct kinds *kinds, struct err *e)
{
	struct adopting *a = calloc(1, sizeof *a);
	size_t sealed = 0;
	bool more = true;
	int rc = 0;

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	a->kinds = kinds;
	while (more && (rc = store_write(s, STORE_OPERATIONAL, work_adopt, a, e)) == 0) {
		sealed += a->sealed;
		if ((more = a->n == ADOPT_BATCH))
			(void)str_copy(a->after, sizeof a->after, a->rows[a->n - 1].id);
	}
	if (sealed > 0)
		log_info("job_arguments_sealed", log_u("jobs", sealed));
	forget_rows(a);
	free(a);
	return rc;
}
