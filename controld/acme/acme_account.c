#include "controld/acme/acme_account.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/es256.h"
#include "common/crypto/seal.h"
#include "controld/store/secrets.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_ACCOUNT "acme-account"

void acme_account_fini(struct acme_account *a)
{
	es256_free(a->key);
	a->key = NULL;
}

struct loading {
	struct acme_account *a;
	const char *directory;
};

static void wipe(struct buf *b)
{
	if (b->data != NULL)
		seal_wipe(b->data, b->len);
	buf_free(b);
}

/* 1: there is one; 0: there is none for this CA. */
static int read_it(struct db *db, struct acme_account *a, const char *directory, struct err *e)
{
	const char *pem, *kid, *of;
	struct buf plain;
	struct err why;
	json_t *o;
	int rc;

	buf_init(&plain, SECRETS_MAX);
	rc = secrets_get(db, SECRET_ACCOUNT, &plain, &why);
	if (rc != 0) {
		buf_free(&plain);
		if (why.code == ERR_NOT_FOUND)
			return 0;
		if (e != NULL)
			*e = why;
		return -1;
	}
	o = json_loadb((const char *)plain.data, plain.len, 0, NULL);
	pem = json_string_value(json_object_get(o, "key"));
	kid = json_string_value(json_object_get(o, "kid"));
	of = json_string_value(json_object_get(o, "directory"));
	if (pem == NULL || kid == NULL || of == NULL)
		rc = err_set(e, ERR_INTERNAL, NULL, "the account at the CA: what is stored cannot be read");
	else if (str_eq(of, directory))
		rc = es256_from_pem(&a->key, pem, e) == 0 ? 1 : -1;
	if (rc == 1)
		(void)str_copy(a->kid, sizeof a->kid, kid);
	json_decref(o);
	wipe(&plain);
	return rc;
}

static int write_it(struct db *tx, const struct acme_account *a, const char *directory, struct err *e)
{
	char *pem = es256_to_pem(a->key, e), *text;
	json_t *o;
	int rc;

	if (pem == NULL)
		return -1;
	o = json_pack("{s:s, s:s, s:s}", "directory", directory, "key", pem, "kid", a->kid);
	text = json_dumps(o, JSON_COMPACT);
	rc = text != NULL ? secrets_put(tx, SECRET_ACCOUNT, text, strlen(text), e)
	                  : err_set(e, ERR_NOMEM, NULL, "the account at the CA: out of memory");
	if (text != NULL)
		seal_wipe(text, strlen(text));
	free(text);
	json_decref(o);
	seal_wipe(pem, strlen(pem));
	free(pem);
	return rc;
}

/* In one transaction: of two controlds that need one, one makes it. */
static int work_load(struct db *tx, void *arg, struct err *e)
{
	struct loading *l = arg;
	int rc;

	acme_account_fini(l->a); /* of a run before */
	l->a->kid[0] = '\0';
	if ((rc = read_it(tx, l->a, l->directory, e)) != 0)
		return MIN(rc, 0);
	if (es256_generate(&l->a->key, e) != 0)
		return -1;
	return write_it(tx, l->a, l->directory, e);
}

int acme_account_load(struct acme_account *out, struct store *s, const char *directory, struct err *e)
{
	struct loading l = { out, directory };
	struct db *db;
	int rc;

	memset(out, 0, sizeof *out);
	if (store_read_begin(s, &db, e) != 0)
		return -1;
	rc = read_it(db, out, directory, e);
	store_read_end(db);
	if (rc == 0)
		rc = store_write(s, STORE_LOGGED, work_load, &l, e);
	if (rc < 0)
		acme_account_fini(out);
	return MIN(rc, 0);
}

static int work_named(struct db *tx, void *arg, struct err *e)
{
	const struct loading *l = arg;
	char ours[ES256_THUMBPRINT_SIZE], theirs[ES256_THUMBPRINT_SIZE] = "";
	struct acme_account now = { .key = NULL };
	int rc = read_it(tx, &now, l->directory, e);

	if (rc == 1 && (es256_thumbprint(now.key, theirs, e) != 0 || es256_thumbprint(l->a->key, ours, e) != 0))
		rc = -1;
	if (rc == 1 && str_eq(ours, theirs))
		rc = write_it(tx, l->a, l->directory, e);
	acme_account_fini(&now);
	return MIN(rc, 0);
}

int acme_account_named(const struct acme_account *a, struct store *s, const char *directory, struct err *e)
{
	struct acme_account copy = *a;
	struct loading l = { &copy, directory };

	return store_write(s, STORE_LOGGED, work_named, &l, e);
}
