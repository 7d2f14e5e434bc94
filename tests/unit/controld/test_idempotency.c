#include "controld/rest/idempotency.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/rest/call.h"
#include "controld/rest/headers.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"
#include "tests/unit/lib/test_store.h"

#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct route post_row = { .method = "POST", .path = "/api/v1/mappings" };
static const struct route other_row = { .method = "POST", .path = "/api/v1/nodes" };
static const struct router_entry post_entry = { .route = &post_row };
static const struct router_entry other_entry = { .route = &other_row };

/* A request as dispatch has it when the handler is about to run. */
struct asked {
	const struct router_entry *entry;
	const char *method, *key, *tenant, *actor, *body;
};

static const struct asked first = { &post_entry, "POST", "key-1", "ten_1", "usr_1", "{\"a\":1}" };

static struct call *call_of(const struct asked *a)
{
	struct call *c = calloc(1, sizeof *c);

	assert_non_null(c);
	headers_init(&c->rq.in.headers);
	reply_init(&c->rp, (struct buf){ 0 });
	c->entry = a->entry;
	c->rq.in.method = a->method;
	c->rq.has_identity = true;
	(void)str_copy(c->rq.path, sizeof c->rq.path, a->entry->route->path);
	(void)str_copy(c->rq.identity.tenant_id, sizeof c->rq.identity.tenant_id, a->tenant);
	(void)str_copy(c->rq.identity.actor, sizeof c->rq.identity.actor, a->actor);
	c->rq.in.body = (uint8_t *)strdup(a->body);
	c->rq.in.body_len = strlen(a->body);
	if (a->key != NULL)
		assert_int_equal(evhttp_add_header(&c->rq.in.headers, "Idempotency-Key", a->key), 0);
	return c;
}

static void call_end(struct call *c)
{
	request_fini(&c->rq);
	reply_fini(&c->rp);
	buf_free(&c->rp.body);
	free(c->claim);
	free(c);
}

/* Asks, and answers with this status if it may run. *code: why it may not. */
static enum idempotency_result ask(struct store *s, const struct asked *a, int status, enum err_code *code)
{
	struct call *c = call_of(a);
	enum idempotency_result result;
	struct err e;

	err_clear(&e);
	result = idempotency_begin(s, c, &e);
	*code = e.code;
	if (result == IDEMPOTENCY_RUN && status != 0) {
		c->outcome_unknown = status == 504;
		reply_json(&c->rp, status, json_pack("{s:s}", "id", "map_1"));
		reply_header(&c->rp, "Location", "/api/v1/mappings/map_1");
		reply_etag(&c->rp, 1);
		idempotency_end(s, c);
		assert_null(c->claim);
	} else if (result == IDEMPOTENCY_STORED) {
		assert_string_equal(buf_cstr(&c->rp.body), "{\"id\":\"map_1\"}");
		assert_string_equal(reply_header_get(&c->rp, "Location"), "/api/v1/mappings/map_1");
		assert_string_equal(reply_header_get(&c->rp, "ETag"), "\"v1\"");
		assert_string_equal(reply_header_get(&c->rp, "Idempotency-Replayed"), "true");
		assert_int_equal(c->rp.status, status);
	}
	call_end(c);
	return result;
}

static void test_done_once_answered_twice(void **state)
{
	struct test_store t;
	enum err_code code;

	(void)state;
	test_store_open(&t);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_RUN);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	store_close(t.store); /* it survives the process */
	test_store_reopen(&t);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	test_store_close(&t);
}

static void test_what_makes_another_request(void **state)
{
	static const struct {
		const char *what;
		struct asked asked;
		enum idempotency_result result;
		enum err_code code;
	} cases[] = {
		{ "another body", { &post_entry, "POST", "key-1", "ten_1", "usr_1", "{\"a\":2}" }, IDEMPOTENCY_REFUSED,
			ERR_IDEMPOTENCY },
		{ "another user", { &post_entry, "POST", "key-1", "ten_1", "usr_2", "{\"a\":1}" }, IDEMPOTENCY_REFUSED,
			ERR_IDEMPOTENCY },
		{ "another tenant", { &post_entry, "POST", "key-1", "ten_2", "usr_1", "{\"a\":1}" }, IDEMPOTENCY_RUN,
			0 },
		{ "another key", { &post_entry, "POST", "key-2", "ten_1", "usr_1", "{\"a\":1}" }, IDEMPOTENCY_RUN, 0 },
		{ "another row", { &other_entry, "POST", "key-1", "ten_1", "usr_1", "{\"a\":1}" }, IDEMPOTENCY_RUN, 0 },
		{ "no key", { &post_entry, "POST", NULL, "ten_1", "usr_1", "{\"a\":1}" }, IDEMPOTENCY_RUN, 0 },
		{ "not a POST", { &post_entry, "PUT", "key-1", "ten_1", "usr_1", "{\"a\":1}" }, IDEMPOTENCY_RUN, 0 },
		{ "empty key", { &post_entry, "POST", "", "ten_1", "usr_1", "{\"a\":1}" }, IDEMPOTENCY_REFUSED,
			ERR_BAD_REQUEST },
		{ "key with a blank", { &post_entry, "POST", "a b", "ten_1", "usr_1", "{}" }, IDEMPOTENCY_REFUSED,
			ERR_BAD_REQUEST },
	};
	struct test_store t;
	enum err_code code;

	(void)state;
	test_store_open(&t);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_RUN);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (ask(t.store, &cases[i].asked, 201, &code) != cases[i].result || code != cases[i].code)
			fail_msg("%s: %s", cases[i].what, err_name(code));
	test_store_close(&t);
}

static void test_long_key_is_refused(void **state)
{
	struct asked asked = first;
	char key[300];
	struct test_store t;
	enum err_code code;

	(void)state;
	memset(key, 'k', sizeof key);
	asked.key = key;
	test_store_open(&t);
	key[255] = '\0';
	assert_int_equal(ask(t.store, &asked, 201, &code), IDEMPOTENCY_RUN);
	key[255] = 'k';
	key[256] = '\0';
	assert_int_equal(ask(t.store, &asked, 201, &code), IDEMPOTENCY_REFUSED);
	assert_int_equal(code, ERR_BAD_REQUEST);
	test_store_close(&t);
}

static void test_running_is_locked(void **state)
{
	struct test_store t;
	struct call *c = call_of(&first);
	enum err_code code;
	struct err e;

	(void)state;
	test_store_open(&t);
	assert_int_equal(idempotency_begin(t.store, c, &e), IDEMPOTENCY_RUN);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_REFUSED);
	assert_int_equal(code, ERR_LOCKED);
	reply_json(&c->rp, 422, json_object());
	idempotency_end(t.store, c); /* a refusal is an answer too */
	call_end(c);
	c = call_of(&first);
	assert_int_equal(idempotency_begin(t.store, c, &e), IDEMPOTENCY_STORED);
	assert_int_equal(c->rp.status, 422);
	call_end(c);
	test_store_close(&t);
}

static void test_passing_failures_give_the_key_back(void **state)
{
	static const int statuses[] = { 500, 503, 429 };
	struct test_store t;
	enum err_code code;

	(void)state;
	test_store_open(&t);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		assert_int_equal(ask(t.store, &first, statuses[i], &code), IDEMPOTENCY_RUN);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_RUN);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	test_store_close(&t);
}

static int work_age(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, "UPDATE idempotency_keys SET created_ms = ?1", e, bind_i(*(int64_t *)arg)) < 0 ? -1 : 0;
}

static void age(struct store *s, int64_t ms)
{
	int64_t created = clock_wall_ms() - ms;
	struct err e;

	assert_int_equal(store_write(s, STORE_OPERATIONAL, work_age, &created, &e), 0);
}

/* The process died between claim and answer: nobody knows what happened, so it is not done again. */
static void test_cut_off_is_not_run_again(void **state)
{
	struct test_store t;
	enum err_code code;

	(void)state;
	test_store_open(&t);
	assert_int_equal(ask(t.store, &first, 0, &code), IDEMPOTENCY_RUN);
	age(t.store, 10 * 60 * 1000);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_REFUSED);
	assert_int_equal(code, ERR_CONFLICT);
	test_store_close(&t);
}

/* It may have been done: whoever repeats it is told so again, and it is not done twice. */
static void test_an_unknown_outcome_is_not_run_again(void **state)
{
	struct test_store t;
	enum err_code code;

	(void)state;
	test_store_open(&t);
	assert_int_equal(ask(t.store, &first, 504, &code), IDEMPOTENCY_RUN);
	assert_int_equal(ask(t.store, &first, 504, &code), IDEMPOTENCY_STORED);
	test_store_close(&t);
}

static void test_a_day_later_the_key_is_free(void **state)
{
	struct test_store t;
	enum err_code code;

	(void)state;
	test_store_open(&t);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_RUN);
	age(t.store, 23 * 3600 * 1000LL);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	age(t.store, 25 * 3600 * 1000LL);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_RUN);
	test_store_close(&t);
}

/* ---- what the database tells of a request ------------------------------------------------------------------------- */

static void kept_hash(struct store *s, char dst[65])
{
	struct query *q;
	struct db *db;
	struct err e;

	assert_int_equal(store_read_begin(s, &db, &e), 0);
	assert_int_equal(db_query(db, &q, "SELECT request_hash FROM idempotency_keys", &e), 0);
	assert_int_equal(query_next(q, &e), 1);
	assert_int_equal(str_copy(dst, 65, query_text(q, 0)), 0);
	query_end(q);
	store_read_end(db);
}

/* A body may hold a password: whoever has a copy of the database and a guess must not see that he is right. */
static void test_the_database_confirms_no_guess(void **state)
{
	static const char head[] = "usr_1 POST /api/v1/mappings";
	struct test_store one, other;
	uint8_t parts[2 * SHA256_SIZE], digest[SHA256_SIZE];
	char guess[65], kept[65], elsewhere[65];
	enum err_code code;

	(void)state;
	test_store_open(&one);
	test_store_open(&other);
	assert_int_equal(ask(one.store, &first, 201, &code), IDEMPOTENCY_RUN);
	assert_int_equal(ask(other.store, &first, 201, &code), IDEMPOTENCY_RUN);
	kept_hash(one.store, kept);
	kept_hash(other.store, elsewhere);
	seal_sha256(head, strlen(head), parts);
	seal_sha256(first.body, strlen(first.body), parts + SHA256_SIZE);
	seal_sha256(parts, sizeof parts, digest);
	str_hex(guess, digest, sizeof digest);
	assert_string_not_equal(kept, guess);
	assert_string_not_equal(
		kept, elsewhere); /* each database has a secret of its own, with the same master key too */
	test_store_close(&one);
	test_store_close(&other);
}

static void test_a_new_master_key_changes_nothing(void **state)
{
	static const uint8_t key[SEAL_KEY_SIZE] = { 9, 9, 9 }, before[SEAL_KEY_SIZE] = { 7, 7, 7 };
	struct test_store t;
	enum err_code code;
	uint64_t n = 0;
	struct err e;

	(void)state;
	test_store_open(&t);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_RUN);
	store_set_master_key(t.store, key);
	assert_int_equal(store_add_master_key(t.store, before), 0);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	assert_int_equal(reseal_column(t.store, &secrets_sealed, &n, &e), 0);
	assert_int_equal(reseal_column(t.store, &idempotency_sealed, &n, &e), 0);
	assert_true(n >= 2);
	store_close(t.store);
	test_store_reopen(&t);
	store_set_master_key(t.store, key);
	assert_int_equal(ask(t.store, &first, 201, &code), IDEMPOTENCY_STORED);
	test_store_close(&t);
}

static void test_without_a_store_nothing_is_remembered(void **state)
{
	enum err_code code;

	(void)state;
	assert_int_equal(ask(NULL, &first, 201, &code), IDEMPOTENCY_RUN);
	assert_int_equal(ask(NULL, &first, 201, &code), IDEMPOTENCY_RUN);
}

static void test_statements_are_good_sql(void **state)
{
	struct test_store t;
	struct db *db;
	struct err e;

	(void)state;
	test_store_open(&t);
	assert_int_equal(store_read_begin(t.store, &db, &e), 0);
	for (size_t i = 0; i < rest_sql_n; i++)
		for (size_t k = 0; k < rest_sql[i].n; k++)
			if (db_prepare_only(db, rest_sql[i].sql[k], &e) != 0)
				fail_msg("%s: %s", rest_sql[i].sql[k], e.msg);
	store_read_end(db);
	test_store_close(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_done_once_answered_twice),
		cmocka_unit_test(test_what_makes_another_request),
		cmocka_unit_test(test_long_key_is_refused),
		cmocka_unit_test(test_running_is_locked),
		cmocka_unit_test(test_passing_failures_give_the_key_back),
		cmocka_unit_test(test_cut_off_is_not_run_again),
		cmocka_unit_test(test_an_unknown_outcome_is_not_run_again),
		cmocka_unit_test(test_a_day_later_the_key_is_free),
		cmocka_unit_test(test_the_database_confirms_no_guess),
		cmocka_unit_test(test_a_new_master_key_changes_nothing),
		cmocka_unit_test(test_without_a_store_nothing_is_remembered),
		cmocka_unit_test(test_statements_are_good_sql),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
