#include "controld/identity/key_use.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/store/erasure.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SQL_PUT, SQL_CLEAN, SQL_ERASE_USER, SQL_ERASE_TENANT };
/* Of several controlds the one that saw it last is right; a key that is gone gets no row. */
static const char *const sql[] = {
	[SQL_PUT] = "INSERT INTO api_key_uses (key_id, tenant_id, user_id, used_ms, address) SELECT id, tenant_id, "
		    "user_id, "
		    "CAST(?2 AS BIGINT), ?3 FROM api_keys WHERE id = ?1 ON CONFLICT (key_id) DO UPDATE SET used_ms = "
		    "excluded.used_ms, address = excluded.address WHERE excluded.used_ms > api_key_uses.used_ms",
	[SQL_CLEAN] = "DELETE FROM api_key_uses WHERE key_id NOT IN (SELECT id FROM api_keys)",
	[SQL_ERASE_USER] = "DELETE FROM api_key_uses WHERE key_id IN (SELECT key_id FROM api_key_uses WHERE user_id = "
			   "?1 LIMIT ?2)",
	[SQL_ERASE_TENANT] = "DELETE FROM api_key_uses WHERE key_id IN (SELECT key_id FROM api_key_uses WHERE "
			     "tenant_id = ?1 LIMIT ?2)",
};
const struct sql_table key_use_sql = { "api_key_use", sql, ARRAY_LEN(sql) };

struct use {
	char key_id[RAND_ID_SIZE]; /* "": free */
	int64_t used_ms;
	char address[ADDR_STRLEN];
};

struct key_uses {
	struct store *store;
	pthread_mutex_t lock;
	struct use *uses; /* KEY_USES_MAX, by hash, then the next free one */
	size_t n;
	uint64_t dropped;
};

int key_uses_new(struct key_uses **out, struct store *store, struct err *e)
{
	struct key_uses *u = calloc(1, sizeof *u);

	if (u == NULL)
		return err_set(e, ERR_NOMEM, NULL, "API keys: out of memory");
	pthread_mutex_init(&u->lock, NULL);
	u->store = store;
	if ((u->uses = calloc(KEY_USES_MAX, sizeof *u->uses)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "API keys: out of memory");
		goto fail;
	}
	*out = u;
	return 0;
fail:
	key_uses_free(u);
	return -1;
}

void key_uses_free(struct key_uses *u)
{
	struct err e;

	if (u == NULL)
		return;
	if (u->uses != NULL && key_uses_write(u, &e) != 0)
		u->dropped += u->n;
	free(u->uses);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

/* With the lock: its place, or a free one; NULL: there is none. */
static struct use *find(struct key_uses *u, const char *key_id)
{
	uint32_t at = 2166136261u; /* FNV-1a */

	for (const char *p = key_id; *p != '\0'; p++)
		at = (at ^ (unsigned char)*p) * 16777619u;
	for (size_t i = 0; i < KEY_USES_MAX; i++) {
		struct use *use = &u->uses[(at + i) % KEY_USES_MAX];

		if (use->key_id[0] == '\0' || str_eq(use->key_id, key_id))
			return use;
	}
	return NULL;
}

/* With the lock. */
static void put(struct key_uses *u, const struct use *seen)
{
	struct use *use = find(u, seen->key_id);

	if (use == NULL) {
		u->dropped++;
		return;
	}
	u->n += use->key_id[0] == '\0';
	if (use->used_ms <= seen->used_ms)
		*use = *seen;
}

void key_uses_note(void *key_uses, const struct identity *id, const struct addr *from)
{
	struct key_uses *u = key_uses;
	struct use seen = { .used_ms = clock_wall_ms() };

	if (str_copy(seen.key_id, sizeof seen.key_id, id->token_id) != 0 || seen.key_id[0] == '\0')
		return;
	addr_print_ip(from, seen.address);
	pthread_mutex_lock(&u->lock);
	put(u, &seen);
	pthread_mutex_unlock(&u->lock);
}

static int work_write(struct db *tx, void *arg, struct err *e)
{
	const struct use *uses = arg;

	for (size_t i = 0; i < KEY_USES_MAX; i++)
		if (uses[i].key_id[0] != '\0' && db_exec(tx, sql[SQL_PUT], e, bind_s(uses[i].key_id),
							 bind_i(uses[i].used_ms), bind_s(uses[i].address)) < 0)
			return -1;
	return 0;
}

/* What could not be written waits for the next time, beside what has come since. */
static void give_back(struct key_uses *u, const struct use *uses)
{
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < KEY_USES_MAX; i++)
		if (uses[i].key_id[0] != '\0')
			put(u, &uses[i]);
	pthread_mutex_unlock(&u->lock);
}

int key_uses_write(struct key_uses *u, struct err *e)
{
	struct use *uses = NULL;
	struct use *fresh = calloc(KEY_USES_MAX, sizeof *fresh);
	int rc;

	if (fresh == NULL)
		return err_set(e, ERR_NOMEM, NULL, "API keys: out of memory");
	pthread_mutex_lock(&u->lock);
	if (u->n > 0) {
		uses = u->uses;
		u->uses = fresh;
		u->n = 0;
	}
	pthread_mutex_unlock(&u->lock);
	if (uses == NULL) {
		free(fresh);
		return 0;
	}
	rc = store_write(u->store, STORE_OPERATIONAL, work_write, uses, e);
	if (rc != 0)
		give_back(u, uses);
	free(uses);
	return rc;
}

uint64_t key_uses_dropped(struct key_uses *u)
{
	uint64_t n;

	pthread_mutex_lock(&u->lock);
	n = u->dropped;
	pthread_mutex_unlock(&u->lock);
	return n;
}

int key_uses_clean(struct db *tx, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_CLEAN], e), 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	return erase_by(tx, sql[SQL_ERASE_USER], sql[SQL_ERASE_TENANT], o, limit, n, e);
}

const struct erasure key_use_erasure = { "api_key", "api_key_uses", erase };
