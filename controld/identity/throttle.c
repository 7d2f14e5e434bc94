#include "controld/identity/throttle.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { THROTTLE_NAME_MAX = 1024 };

struct throttle {
	struct store *store;
	const uint8_t *key;
	atomic_uint_fast64_t refusals;
};

enum { SQL_ATTEMPT, SQL_DELAY, SQL_READY, SQL_CLEAR };
static const char *const sql[] = {
	/* No row comes back for a pair that has to wait. The row stays locked until its delay is written. */
	[SQL_ATTEMPT] =
		"INSERT INTO login_throttle (slot, pair, attempts, last_ms, ready_ms) VALUES (?1, ?2, 1, ?3, ?3) "
		"ON CONFLICT (slot) DO UPDATE SET pair = excluded.pair, last_ms = excluded.last_ms, ready_ms = "
		"excluded.ready_ms, attempts = CASE WHEN login_throttle.pair <> excluded.pair OR "
		"login_throttle.last_ms < ?4 THEN 1 ELSE login_throttle.attempts + 1 END "
		"WHERE login_throttle.pair <> excluded.pair OR login_throttle.ready_ms <= excluded.last_ms "
		"OR login_throttle.ready_ms > ?5 RETURNING attempts",
	[SQL_DELAY] = "UPDATE login_throttle SET ready_ms = ?2 WHERE slot = ?1",
	[SQL_READY] = "SELECT ready_ms FROM login_throttle WHERE slot = ?1",
	[SQL_CLEAR] = "DELETE FROM login_throttle WHERE slot = ?1 AND pair = ?2",
};
const struct sql_table throttle_sql = { "throttle", sql, ARRAY_LEN(sql) };

int throttle_new(struct throttle **out, struct store *store, const uint8_t key[SHA256_SIZE], struct err *e)
{
	struct throttle *t = calloc(1, sizeof *t);

	if (t == NULL)
		return err_set(e, ERR_NOMEM, NULL, "login throttle: out of memory");
	t->store = store;
	t->key = key;
	*out = t;
	return 0;
}

void throttle_free(struct throttle *t)
{
	free(t);
}

/* ---- one pair ---------------------------------------------------------------------------------------------------- */

struct throttle_pair {
	int64_t slot;
	char hash[2 * SHA256_SIZE + 1];
	int64_t now_ms;
	uint64_t wait_ms;
};

static int throttle_pair(
	const struct throttle *t, struct throttle_pair *p, const char *address, const char *account, struct err *e)
{
	uint8_t mac[SHA256_SIZE];
	struct buf b;

	buf_init(&b, THROTTLE_NAME_MAX);
	buf_str16(&b, "login throttle");
	buf_str16(&b, address);
	buf_str16(&b, account);
	if (b.failed) {
		buf_free(&b);
		return err_set(e, ERR_NOMEM, NULL, "login throttle: out of memory");
	}
	seal_hmac_sha256(t->key, SHA256_SIZE, b.data, b.len, mac);
	buf_free(&b);
	str_hex(p->hash, mac, sizeof mac);
	p->slot = (mac[0] << 8 | mac[1]) % THROTTLE_SLOTS;
	return 0;
}

static int64_t throttle_delay(int64_t attempts)
{
	int64_t over = attempts - THROTTLE_FREE;

	if (over < 0)
		return 0;
	return over < 20 ? MIN((int64_t)THROTTLE_BASE_MS << over, (int64_t)THROTTLE_CAP_MS) : THROTTLE_CAP_MS;
}

/* ---- in the database --------------------------------------------------------------------------------------------- */

static int throttle_refuse(struct db *tx, struct throttle_pair *p, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_READY], e, bind_i(p->slot)) != 0)
		return -1;
	rc = query_next(q, e);
	p->wait_ms = rc == 1 && query_int(q, 0) > p->now_ms ? (uint64_t)(query_int(q, 0) - p->now_ms) : 1;
	query_end(q);
	return rc < 0 ? -1 : 0;
}

static int work_attempt(struct db *tx, void *arg, struct err *e)
{
	struct throttle_pair *p = arg;
	struct query *q;
	int64_t delay_ms = 0;
	int rc;

	p->wait_ms = 0;
	if (db_query(tx, &q, sql[SQL_ATTEMPT], e, bind_i(p->slot), bind_s(p->hash), bind_i(p->now_ms),
		    bind_i(p->now_ms - THROTTLE_FORGET_MS), bind_i(p->now_ms + THROTTLE_CAP_MS)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		delay_ms = throttle_delay(query_int(q, 0));
	query_end(q);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return throttle_refuse(tx, p, e);
	if (delay_ms == 0)
		return 0;
	return db_exec(tx, sql[SQL_DELAY], e, bind_i(p->slot), bind_i(p->now_ms + delay_ms)) < 0 ? -1 : 0;
}

int throttle_attempt(
	struct throttle *t, const char *address, const char *account, int64_t now_ms, uint64_t *wait_ms, struct err *e)
{
	struct throttle_pair p = { .now_ms = now_ms };

	if (throttle_pair(t, &p, address, account, e) != 0 ||
		store_write(t->store, STORE_OPERATIONAL, work_attempt, &p, e) != 0)
		return -1;
	*wait_ms = p.wait_ms;
	if (p.wait_ms > 0)
		atomic_fetch_add(&t->refusals, 1);
	return 0;
}

static int work_clear(struct db *tx, void *arg, struct err *e)
{
	const struct throttle_pair *p = arg;

	return db_exec(tx, sql[SQL_CLEAR], e, bind_i(p->slot), bind_s(p->hash)) < 0 ? -1 : 0;
}

int throttle_succeed(struct throttle *t, const char *address, const char *account, struct err *e)
{
	struct throttle_pair p = { .now_ms = 0 };

	if (throttle_pair(t, &p, address, account, e) != 0)
		return -1;
	return store_write(t->store, STORE_OPERATIONAL, work_clear, &p, e);
}

uint64_t throttle_refusals(struct throttle *t)
{
	return atomic_load(&t->refusals);
}
