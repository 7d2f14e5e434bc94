/* The hub and its subscribers, on a real log: how many there may be, who hears what, who is told to go, and who is dropped. */
#include "controld/events/hub.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "controld/loop/loop.h"
#include "controld/rest/stream.h"
#include "controld/store/changes.h"
#include "tests/unit/lib/test_store.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define LISTENERS   8
#define TEXT_MAX    (1 << 20)

/* ---- streams that keep what is written, in the place of the server's ----------------------------------------------- */

struct stream {
	const struct stream_ops *ops;
	void *state;
	struct buf text;
	size_t taken; /* by its client */
	bool ended, cut, abandoned;
};

static struct stream streams[LISTENERS];
static unsigned n_streams;

void reply_stream(struct reply *rp, const char *content_type, const struct stream_ops *ops, void *state)
{
	struct stream *s = &streams[n_streams++];

	(void)rp;
	assert_string_equal(content_type, "text/event-stream; charset=utf-8");
	*s = (struct stream){ .ops = ops, .state = state };
	buf_init(&s->text, TEXT_MAX);
}

size_t stream_waiting(const struct stream *s)
{
	return s->text.len - s->taken;
}

void stream_write(struct stream *s, const void *p, size_t n)
{
	assert_false(s->ended || s->cut);
	buf_put(&s->text, p, n);
}

void stream_end(struct stream *s)
{
	s->ended = true;
	s->ops->gone(s->state);
}

void stream_cut(struct stream *s)
{
	s->cut = true;
}

void stream_abandon(struct stream *s)
{
	s->abandoned = true;
}

static const char *text_of(struct stream *s)
{
	return buf_cstr(&s->text);
}

static unsigned count_in(struct stream *s, const char *what)
{
	unsigned n = 0;

	for (const char *at = text_of(s); (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static unsigned events_of(struct stream *s)
{
	return count_in(s, "event: change\n");
}

/* ---- a hub --------------------------------------------------------------------------------------------------------- */

struct world {
	struct test_store t;
	struct loop *loop;
	struct loop_timer *look;
	struct hub *hub;
	bool (*done)(void);
	uint64_t ends_ms;
	/* what whoever is asked says of credentials */
	atomic_int role, code;
};

static struct world w;

static int resolve(void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e)
{
	(void)self, (void)api_key;
	if (authorization == NULL || !str_eq(authorization, "Bearer good"))
		return err_set(e, ERR_INTERNAL, NULL, "not what he showed");
	if (atomic_load(&w.code) != ERR_NONE)
		return err_set(e, (enum err_code)atomic_load(&w.code), NULL, "as the test wants it");
	*out = (struct identity){ .user_id = "usr_1", .tenant_id = "ten_1", .role = (enum role)atomic_load(&w.role) };
	return 0;
}

static const struct authenticator authenticator = { .resolve = resolve };

static void on_look(void *arg)
{
	(void)arg;
	if (w.done() || clock_mono_ms() > w.ends_ms)
		event_base_loopbreak(loop_base(w.loop)); /* loop_stop() is once and for all */
}

static void run_until(bool (*done)(void))
{
	struct err e;

	w.done = done;
	w.ends_ms = clock_mono_ms() + PATIENCE_MS;
	assert_int_equal(loop_run(w.loop, &e), 0);
	assert_true(done());
}

static int set_up_with(unsigned all, unsigned per_user, size_t queue_max)
{
	const struct hub_conf conf = { .auth = &authenticator,
		.streams_max = all,
		.streams_per_user_max = per_user,
		.queue_max = queue_max,
		.beat_ms = 600000,
		.check_ms = 600000 };
	struct hub_conf made = conf;
	struct err e;

	memset(&w, 0, sizeof w);
	memset(streams, 0, sizeof streams);
	n_streams = 0;
	atomic_store(&w.role, ROLE_ADMIN);
	test_store_open(&w.t);
	assert_int_equal(loop_new(&w.loop, &e), 0);
	assert_int_equal(loop_timer_new(&w.look, w.loop, on_look, NULL, &e), 0);
	loop_timer_every(w.look, 5);
	made.store = w.t.store;
	made.loop = w.loop;
	assert_int_equal(hub_new(&w.hub, &made, &e), 0);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_with(100, 100, TEXT_MAX);
}

static int tear_down(void **state)
{
	(void)state;
	hub_free(w.hub);
	loop_timer_free(w.look);
	loop_free(w.loop);
	test_store_close(&w.t);
	for (unsigned i = 0; i < n_streams; i++)
		buf_free(&streams[i].text);
	return 0;
}

static int subscribe_from(const char *user, const char *token, int64_t seq, const char *gap)
{
	struct hub_start start = { .authorization = "Bearer good", .seq = seq, .gap = gap };
	struct err e = { .code = ERR_NONE };

	start.filter.who = (struct identity){ .tenant_id = "ten_1", .role = ROLE_ADMIN, .api_key = user[0] == '\0' };
	str_copy(start.filter.who.user_id, sizeof start.filter.who.user_id, user);
	str_copy(start.filter.who.token_id, sizeof start.filter.who.token_id, token);
	str_copy(start.filter.tenant_id, sizeof start.filter.tenant_id, "ten_1");
	return hub_subscribe(w.hub, &start, NULL, &e) == 0 ? ERR_NONE : (int)e.code;
}

static int subscribe(const char *user)
{
	return subscribe_from(user, "tok_1", 0, NULL);
}

/* As the server does it, when the handler has answered. */
static void begin(struct stream *s)
{
	s->ops->begin(s->state, s);
}

static void leave(struct stream *s)
{
	s->ops->gone(s->state);
	s->ended = true;
}

struct rows {
	const char *tenant, *kind;
	int n;
};

static int work_rows(struct db *tx, void *arg, struct err *e)
{
	const struct rows *r = arg;
	const struct change c = {
		.tenant = r->tenant, .kind = r->kind, .op = "update", .actor = "usr_9", .subject = "x", .object = "{}"
	};

	for (int i = 0; i < r->n; i++)
		if (changes_append(tx, &c, NULL, e) != 0)
			return -1;
	return 0;
}

static void log_rows(const char *tenant, const char *kind, int n)
{
	struct rows r = { tenant, kind, n };
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(w.t.store, STORE_LOGGED, work_rows, &r, &e), e);
}

static double metric_of(const char *name)
{
	struct metrics *all[] = { hub_metrics(w.hub) };
	struct buf b;
	const char *at;
	char line[80];
	double value;

	buf_init(&b, 65536);
	metrics_print(all, 1, &b);
	str_fmt(line, sizeof line, "\n%s ", name);
	at = strstr(buf_cstr(&b), line);
	assert_non_null(at);
	value = strtod(at + strlen(line), NULL);
	buf_free(&b);
	return value;
}

/* ---- how many ------------------------------------------------------------------------------------------------------- */

/* Of a user, by whatever token; of an API key; and of all. A place is free again when its stream has gone. */
static void test_how_many(void **state)
{
	(void)state;
	(void)set_up_with(4, 2, TEXT_MAX);
	assert_int_equal(subscribe_from("usr_1", "tok_1", 0, NULL), ERR_NONE);
	assert_int_equal(subscribe_from("usr_1", "tok_2", 0, NULL), ERR_NONE);
	assert_int_equal(subscribe_from("usr_1", "tok_3", 0, NULL), ERR_RATE_LIMITED);
	assert_int_equal(subscribe_from("", "key_1", 0, NULL), ERR_NONE);
	assert_int_equal(subscribe_from("", "key_2", 0, NULL), ERR_NONE);
	assert_int_equal(subscribe("usr_2"), ERR_OVERLOADED);
	assert_true(metric_of("events_streams") == 4);
	leave(&streams[0]); /* it never began */
	assert_int_equal(subscribe("usr_2"), ERR_NONE);
	leave(&streams[1]);
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	assert_true(metric_of("events_streams_opened_total") == 6);
	assert_true(metric_of("events_streams_refused_total") == 2);
	for (unsigned i = 2; i < n_streams; i++)
		leave(&streams[i]);
	assert_true(metric_of("events_streams") == 0);
}

/* ---- who hears what -------------------------------------------------------------------------------------------------- */

static bool first_has_three(void)
{
	return events_of(&streams[0]) >= 3;
}

static bool both_have_six(void)
{
	return events_of(&streams[0]) >= 6 && events_of(&streams[1]) >= 6;
}

/* What was before, from where he was; then what comes. Each once, in order, and nothing of another tenant. */
static void test_each_event_once(void **state)
{
	const char *at;

	(void)state;
	log_rows("ten_1", "mapping", 3); /* 1 to 3 */
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	begin(&streams[0]);
	assert_int_equal(count_in(&streams[0], "event: ready\n"), 1);
	run_until(first_has_three);
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	begin(&streams[1]);
	log_rows("ten_2", "mapping", 2); /* 4, 5 */
	log_rows("ten_1", "client", 3);  /* 6 to 8 */
	run_until(both_have_six);
	for (unsigned i = 0; i < 2; i++) {
		at = text_of(&streams[i]);
		for (int seq = 1; seq <= 8; seq++) {
			char line[32];

			str_fmt(line, sizeof line, "\"seq\":%d,", seq);
			assert_int_equal(count_in(&streams[i], line), seq == 4 || seq == 5 ? 0 : 1);
			if (seq == 4 || seq == 5)
				continue;
			at = strstr(at, line);
			assert_non_null(at);
		}
		leave(&streams[i]);
	}
	assert_true(metric_of("events_sent_total") == 12);
}

static bool first_has_one(void)
{
	return events_of(&streams[0]) >= 1;
}

/* More than a portion, from the beginning: all of it. */
static bool first_has_many(void)
{
	return events_of(&streams[0]) >= 1000;
}

static void test_portions(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		log_rows("ten_1", "mapping", 100);
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	begin(&streams[0]);
	run_until(first_has_many);
	assert_int_equal(events_of(&streams[0]), 1000);
	leave(&streams[0]);
}

/* Who was away for too long is told before anything else. */
static void test_gap(void **state)
{
	(void)state;
	log_rows("ten_1", "mapping", 1);
	assert_int_equal(subscribe_from("usr_1", "tok_1", 0, "too_old"), ERR_NONE);
	begin(&streams[0]);
	run_until(first_has_one);
	assert_non_null(strstr(text_of(&streams[0]), "event: log_gap\ndata: {\"reason\":\"too_old\"}\n\n"));
	assert_true(strstr(text_of(&streams[0]), "log_gap") < strstr(text_of(&streams[0]), "event: change"));
	assert_true(metric_of("events_log_gaps_total") == 1);
	leave(&streams[0]);
}

/* ---- who has to go --------------------------------------------------------------------------------------------------- */

static bool first_is_cut(void)
{
	return streams[0].cut;
}

/* Nobody waits for one who does not read; the others have it all, and he gets nothing more. */
static void test_who_does_not_read(void **state)
{
	size_t had;

	(void)state;
	(void)set_up_with(10, 10, 4096);
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	begin(&streams[0]);
	log_rows("ten_1", "mapping", 100);
	run_until(first_is_cut);
	had = streams[0].text.len;
	assert_true(had > 4096 && had < 8192);
	assert_true(metric_of("events_streams_dropped_total") == 1);
	log_rows("ten_1", "mapping", 1);
	leave(&streams[0]);
	assert_int_equal(subscribe_from("usr_1", "tok_1", 100, NULL), ERR_NONE);
	begin(&streams[1]);
	run_until(first_is_cut);
	leave(&streams[1]);
	assert_int_equal(streams[0].text.len, had);
}

static bool first_has_ended(void)
{
	return streams[0].ended;
}

/* His role is another one now: he is told so, and it is over. */
static void test_rights_changed(void **state)
{
	(void)state;
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	begin(&streams[0]);
	log_rows("ten_1", "user", 1);
	run_until(first_has_one);
	assert_false(streams[0].ended); /* looked at, and he is who he was */
	atomic_store(&w.role, ROLE_VIEWER);
	log_rows("ten_1", "user", 1);
	run_until(first_has_ended);
	assert_non_null(strstr(text_of(&streams[0]), "event: closed\ndata: {\"code\":\"RIGHTS_CHANGED\"}\n\n"));
	assert_true(metric_of("events_streams_closed_total") == 1);
}

/* His token was revoked; that a database does not answer says nothing of anybody. */
static void test_credentials_ended(void **state)
{
	char closed[80];

	(void)state;
	assert_int_equal(subscribe("usr_1"), ERR_NONE);
	begin(&streams[0]);
	atomic_store(&w.code, ERR_UNAVAILABLE);
	log_rows("ten_1", "user", 1);
	run_until(first_has_one);
	assert_false(streams[0].ended);
	atomic_store(&w.code, ERR_AUTHENTICATION_FAILED);
	run_until(first_has_ended);
	str_fmt(closed, sizeof closed, "event: closed\ndata: {\"code\":\"%s\"}\n\n",
		err_api(ERR_AUTHENTICATION_FAILED));
	assert_non_null(strstr(text_of(&streams[0]), closed));
}

/* ---- ends ------------------------------------------------------------------------------------------------------------- */

static bool at_once(void)
{
	return true;
}

/* In the middle of a job of his; and the hub before its subscribers. Nothing is touched that is gone. */
static void test_ends(void **state)
{
	(void)state;
	log_rows("ten_1", "mapping", 100);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(subscribe("usr_1"), ERR_NONE);
		begin(&streams[i]);
		if (i < 2)
			leave(&streams[i]);
	}
	run_until(at_once);
	hub_free(w.hub);
	assert_true(streams[2].abandoned && streams[3].abandoned);
	assert_int_equal(events_of(&streams[0]) + events_of(&streams[1]), 0);
	w.hub = NULL;
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
#define OWN(fn)  cmocka_unit_test_teardown(fn, tear_down)
	const struct CMUnitTest tests[] = {
		OWN(test_how_many),
		TEST(test_each_event_once),
		TEST(test_portions),
		TEST(test_gap),
		OWN(test_who_does_not_read),
		TEST(test_rights_changed),
		TEST(test_credentials_ended),
		TEST(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
