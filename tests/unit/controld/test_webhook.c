/* webhooks: what changes are called and who wants them, signatures, and the queue: in order, one at a time, bounded. */
#include "controld/notify/webhook.h"

#include "common/base/clock.h"
#include "controld/notify/attempt.h"
#include "controld/notify/delivery.h"
#include "controld/notify/topic.h"
#include "controld/store/erasure.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- names ----------------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
	static const struct {
		const char *kind, *op, *want;
	} cases[] = {
		{ "mapping", "create", "mapping.created" },
		{ "pool", "delete", "pool.deleted" },
		{ "backend", "create", "backend.added" },
		{ "backend", "update", "backend.updated" },
		{ "backend", "delete", "backend.removed" },
		{ "mapping", "delete", "mapping.deleted" },
		{ "client", "update", "client.updated" },
		{ "login", "login_failed", "login.login_failed" },
		{ TOPIC_EVENT_KIND, TOPIC_EVENT_OP, "sync.completed" }, /* the subject says it */
		{ TOPIC_EVENT_KIND, "create", "event.created" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct change c = {
			.kind = cases[i].kind, .op = cases[i].op, .tenant = "t", .subject = "sync.completed"
		};
		char name[TOPIC_SIZE];

		topic_name(name, &c);
		assert_string_equal(name, cases[i].want);
	}
}

static void test_lists(void **state)
{
	static const struct {
		const char *list, *topic;
		bool want;
	} cases[] = {
		{ "*", "mapping.created", true },
		{ "mapping.*", "mapping.created", true },
		{ "mapping.*", "mappings.created", false },
		{ "mapping.created", "mapping.created", true },
		{ "mapping.create", "mapping.created", false },
		{ "mapping.created", "mapping.create", false },
		{ "client.*,mapping.deleted", "mapping.deleted", true },
		{ "client.*,mapping.deleted", "mapping.created", false },
		{ "", "mapping.created", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (topic_matches(cases[i].list, cases[i].topic) != cases[i].want)
			fail_msg("'%s' and %s", cases[i].list, cases[i].topic);
}

static void test_lists_that_are_sent(void **state)
{
	static const struct {
		const char *json, *want; /* NULL: refused */
	} cases[] = {
		{ "[\"*\"]", "*" },
		{ "[\"a.*\", \"pool.created\"]", "a.*,pool.created" },
		{ "[]", NULL },
		{ "[\"\"]", NULL },
		{ "[1]", NULL },
		{ "[\"a\"]", NULL },
		{ "[\"a.\"]", NULL },
		{ "[\".b\"]", NULL },
		{ "[\"a.b,c.d\"]", NULL },
		{ "[\"a.b*\"]", NULL },
		{ "[\"aaaaaaaaaaaaaaaaaaaa.b\", \"bbbbbbbbbbbbbbbbbbbb.b\"]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *events = json_loads(cases[i].json, 0, NULL);
		struct err e = { 0 };
		char list[40] = "";
		const int rc = topic_list_take(events, list, sizeof list, &e);

		json_decref(events);
		if ((rc == 0) != (cases[i].want != NULL))
			fail_msg("%s: %d", cases[i].json, rc);
		if (rc == 0)
			assert_string_equal(list, cases[i].want);
		else
			assert_int_equal(e.code, ERR_VALIDATION);
	}
}

/* What belongs to no tenant, or is the platform's, is not told. */
static void test_what_is_open(void **state)
{
	(void)state;
	assert_true(topic_is_open(&(struct change){ .kind = "mapping", .op = "create", .tenant = "t" }));
	assert_true(topic_is_open(&(struct change){ .kind = "new_kind", .op = "create", .tenant = "t" }));
	assert_false(topic_is_open(&(struct change){ .kind = "mapping", .op = "create", .tenant = "" }));
	assert_false(topic_is_open(&(struct change){ .kind = "node", .op = "create", .tenant = "t" }));
}

/* ---- sending --------------------------------------------------------------------------------------------------------- */

static void test_signature(void **state)
{
	static const char text[] = "The quick brown fox jumps over the lazy dog";
	char signature[ATTEMPT_SIGNATURE_SIZE];

	(void)state;
	attempt_sign(signature, "key", text, strlen(text));
	assert_string_equal(signature, "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
}

static void test_backoff(void **state)
{
	(void)state;
	for (int64_t n = 1; n < 100; n++) {
		const uint64_t whole = n < 11 ? 1000u << (n - 1) : 600000, got = attempt_backoff_ms(n, 1000, 600000);

		assert_true(got >= MIN(whole, 600000) / 2 && got <= MIN(whole, 600000));
	}
}

static void test_what_answers_mean(void **state)
{
	static const struct {
		int status;
		enum verdict want;
	} cases[] = { { 200, VERDICT_DELIVERED }, { 204, VERDICT_DELIVERED }, { 302, VERDICT_AGAIN },
		{ 400, VERDICT_REFUSED }, { 401, VERDICT_AGAIN }, { 404, VERDICT_AGAIN }, { 410, VERDICT_DEAD },
		{ 422, VERDICT_REFUSED }, { 429, VERDICT_AGAIN }, { 500, VERDICT_AGAIN } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(format_generic.judge(cases[i].status), cases[i].want);
}

/* ---- the queue ------------------------------------------------------------------------------------------------------- */

#define NOW INT64_C(1800000000000)

struct world {
	struct test_store t;
	struct webhook w;
};

struct step {
	struct world *world;
	struct delivery_order order;
	struct delivery_hold hold;
	struct delivery_result result;
	int64_t now_ms;
	const char *not_of;
	int rc;
};

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;

	return delivery_begin_reader(tx, e) != 0 ? -1 : webhook_insert(tx, &w->w, e);
}

static int work_queue(struct db *tx, void *arg, struct err *e)
{
	struct step *s = arg;

	s->rc = delivery_queue(tx, &s->order, e);
	return MIN(s->rc, 0);
}

static int work_take(struct db *tx, void *arg, struct err *e)
{
	struct step *s = arg;

	const struct delivery_turn turn = { s->now_ms, s->now_ms + 1000, s->not_of != NULL ? s->not_of : "," };

	s->rc = delivery_take(tx, &turn, &s->hold, e);
	return MIN(s->rc, 0);
}

static int work_note(struct db *tx, void *arg, struct err *e)
{
	struct step *s = arg;

	s->rc = delivery_note(tx, &s->result, e);
	return MIN(s->rc, 0);
}

static int run(struct step *s, store_fn fn)
{
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(s->world->t.store, STORE_OPERATIONAL, fn, s, &e), e);
	return s->rc;
}

static void world_open(struct world *w)
{
	struct err e = { 0 };

	memset(&w->w, 0, sizeof w->w);
	test_store_open(&w->t);
	(void)str_copy(w->w.id, sizeof w->w.id, "whk_1");
	(void)str_copy(w->w.tenant_id, sizeof w->w.tenant_id, "t");
	(void)str_copy(w->w.url, sizeof w->w.url, "https://example.com/?token=x");
	(void)str_copy(w->w.secret, sizeof w->w.secret, "a secret of mine");
	w->w.enabled = true;
	TEST_STORE_MUST(store_write(w->t.store, STORE_OPERATIONAL, work_insert, w, &e), e);
}

static int queue(struct world *w, int64_t seq)
{
	struct step s = { .world = w,
		.order = { .webhook_id = w->w.id,
			.tenant_id = "t",
			.topic = "a.b",
			.body = "{\"id\":\"1\",\"data\":{\"subject\":\"usr_1\",\"actor\":\"usr_1\",\"user\":"
				"{\"email\":\"a@example.com\"}}}",
			.subject = seq == 11 ? "usr_1" : "usr_2",
			.seq = seq,
			.now_ms = 1,
			.waiting_max = 3 } };

	return run(&s, work_queue);
}

static int64_t head(struct world *w, char id[RAND_ID_SIZE])
{
	struct delivery d = { .seq = 0 };
	struct err e = { 0 };
	struct db *db;

	buf_init(&d.body, 100);
	TEST_STORE_MUST(store_read_begin(w->t.store, &db, &e), e);
	assert_true(delivery_head(db, w->w.id, &d, &e) >= 0);
	store_read_end(db);
	(void)str_copy(id, RAND_ID_SIZE, d.id);
	buf_free(&d.body);
	return d.seq;
}

static void read_row(struct world *w, struct webhook *out)
{
	struct err e = { 0 };
	struct db *db;

	TEST_STORE_MUST(store_read_begin(w->t.store, &db, &e), e);
	TEST_STORE_MUST(webhook_get(db, "t", w->w.id, out, &e), e);
	assert_int_equal(webhook_get(db, "other", w->w.id, &(struct webhook){ 0 }, &e), -1);
	store_read_end(db);
}

static void test_a_queue(void **state)
{
	struct world w;
	struct step s = { .world = &w, .now_ms = NOW + 1000 };
	struct webhook row;
	char id[RAND_ID_SIZE];

	(void)state;
	world_open(&w);
	assert_int_equal(run(&s, work_take), 0);
	for (int64_t seq = 10; seq < 13; seq++)
		assert_int_equal(queue(&w, seq), 1);
	assert_int_equal(queue(&w, 13), 0); /* full */
	read_row(&w, &row);
	assert_string_equal(row.url, w.w.url);
	assert_string_equal(row.secret, w.w.secret);
	assert_int_equal(row.waiting, 3);
	assert_int_equal(row.dropped, 1);

	/* not while its tenant has his share of the senders; of another one or of the platform that says nothing */
	s.not_of = ",t,";
	assert_int_equal(run(&s, work_take), 0);
	s.not_of = ",tt,u,,";
	/* one at a time; who held it too long knows nothing any more */
	assert_int_equal(run(&s, work_take), 1);
	struct delivery_hold old = s.hold;
	assert_int_equal(run(&s, work_take), 0);
	s.now_ms = NOW + 2500;
	assert_int_equal(run(&s, work_take), 1);
	assert_int_equal(head(&w, id), 10);
	s.result = (struct delivery_result){ .hold = &old,
		.id = id,
		.state = "delivered",
		.status = 200,
		.now_ms = NOW + 2600,
		.until_ms = NOW + 4000,
		.error = "" };
	assert_int_equal(run(&s, work_note), 0);
	assert_int_equal(head(&w, id), 10);

	/* what fails stays at the head */
	s.result.hold = &s.hold;
	s.result.state = "pending";
	s.result.due_ms = NOW + 5000;
	s.result.error = "answered 500";
	assert_int_equal(run(&s, work_note), 1);
	assert_int_equal(head(&w, id), 10);
	s.now_ms = NOW + 4999;
	assert_int_equal(run(&s, work_take), 0);
	s.now_ms = NOW + 5000;
	assert_int_equal(run(&s, work_take), 1);
	for (int64_t seq = 10; seq < 13; seq++) {
		assert_int_equal(head(&w, id), seq);
		s.result.state = seq == 11 ? "refused" : "delivered";
		s.result.error = "";
		assert_int_equal(run(&s, work_note), 1);
	}
	assert_int_equal(head(&w, id), 0);
	read_row(&w, &row);
	assert_int_equal(row.waiting, 0);
	assert_int_equal(row.failures, 0);
	assert_true(row.last_ok_ms == NOW + 2600);
	test_store_close(&w.t);
}

static int work_set_back(struct db *tx, void *arg, struct err *e)
{
	struct step *s = arg;
	const struct set_back by = { s->now_ms, 600000, 3600000 };

	s->rc = delivery_set_back(tx, &by, e);
	return MIN(s->rc, 0);
}

/* What was to wait a second waits a second; what was held by somebody is held for no longer. */
static void test_a_clock_that_is_set_back(void **state)
{
	static const struct {
		int64_t wait_ms, after_ms; /* before it was set back, and then */
	} cases[] = { { 0, 0 }, { 1000, 1000 }, { 3600000, 3600000 }, { 3600001, 0 } };
	struct world w;
	struct step s = { .world = &w };
	char id[RAND_ID_SIZE];

	(void)state;
	world_open(&w);
	assert_int_equal(queue(&w, 10), 1);
	assert_int_equal(head(&w, id), 10);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s.now_ms = NOW;
		assert_int_equal(run(&s, work_take), 1);
		s.result = (struct delivery_result){ .hold = &s.hold,
			.id = id,
			.state = "pending",
			.now_ms = NOW,
			.due_ms = NOW + cases[i].wait_ms,
			.error = "" };
		assert_int_equal(run(&s, work_note), 1);
		s.now_ms = NOW - 600000;
		assert_int_equal(run(&s, work_set_back), 1);
		s.now_ms += cases[i].after_ms - 1;
		assert_int_equal(run(&s, work_take), 0);
		s.now_ms++;
		assert_int_equal(run(&s, work_take), 1);
		/* taken: until NOW - 599,000 and the wait, when it is set back once more */
		s.now_ms -= 600000;
		assert_int_equal(run(&s, work_set_back), 1);
		s.now_ms += 999;
		assert_int_equal(run(&s, work_take), 0);
		s.now_ms++;
		assert_int_equal(run(&s, work_take), 1);
		s.result.due_ms = 0;
		assert_int_equal(run(&s, work_note), 1);
	}
	test_store_close(&w.t);
}

/* Who goes for good is in no text that waits. */
struct erasing {
	struct erase_owner owner;
	unsigned n;
};

static int work_erase(struct db *tx, void *arg, struct err *e)
{
	struct erasing *x = arg;
	int64_t position = 0;

	return delivery_erasure.erase(tx, &x->owner, 100, &position, &x->n, e);
}

static int64_t with_mail(struct world *w)
{
	struct query *q;
	struct err e;
	struct db *db;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(w->t.store, &db, &e), e);
	TEST_STORE_MUST(
		db_query(db, &q, "SELECT count(*) FROM webhook_deliveries WHERE body LIKE '%a@example.com%'", &e), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

static void test_people_who_go(void **state)
{
	struct world w;
	struct erasing user = { .owner = { .id = "usr_1" } }, tenant = { .owner = { .tenant = true, .id = "t" } };
	struct err e = { 0 };
	char id[RAND_ID_SIZE];

	(void)state;
	world_open(&w);
	for (int64_t seq = 10; seq < 13; seq++)
		assert_int_equal(queue(&w, seq), 1);
	assert_int_equal(with_mail(&w), 3);
	TEST_STORE_MUST(store_write(w.t.store, STORE_OPERATIONAL, work_erase, &user, &e), e);
	assert_int_equal(with_mail(&w), 2);
	TEST_STORE_MUST(store_write(w.t.store, STORE_OPERATIONAL, work_erase, &tenant, &e), e);
	assert_int_equal(with_mail(&w), 0);
	assert_int_equal(head(&w, id), 10); /* they are sent all the same */
	test_store_close(&w.t);
}

static void test_blanked_texts(void **state)
{
	char *text = topic_blank("{\"id\":\"1\",\"event\":\"user.created\",\"data\":{\"subject\":\"u\",\"actor\":\"x\","
				 "\"fields\":[\"email\"],\"user\":{\"email\":\"a@b\"}}}");

	(void)state;
	assert_string_equal(text,
		"{\"id\":\"1\",\"event\":\"user.created\",\"data\":{\"subject\":\"u\",\"actor\":\"x\","
		"\"fields\":[\"email\"],\"user\":null}}");
	free(text);
	text = topic_blank("no json");
	assert_string_equal(text, "null");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_lists_that_are_sent),
		cmocka_unit_test(test_what_is_open),
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_what_answers_mean),
		cmocka_unit_test(test_a_queue),
		cmocka_unit_test(test_a_clock_that_is_set_back),
		cmocka_unit_test(test_people_who_go),
		cmocka_unit_test(test_blanked_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
