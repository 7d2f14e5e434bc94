#include "controld/fleet/line/polls.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/model.h"
#include "proto/poll.h"
#include "proto/update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A request, and what became of it. */
struct fake_request {
	unsigned answered, dropped;
	struct msg_update update; /* entries are gone with the message */
	size_t bytes;
};

struct fixture {
	struct model *model;
	struct asks *asks;
	struct polls *polls;
	bool over; /* the test's requests are off the stack */
};

static void on_answer(void *owner, void *request, const struct buf *message)
{
	struct fake_request *r = request;

	(void)owner;
	r->answered++;
	r->bytes = message->len;
	assert_true(message->len <= PROTO_MSG_MAX);
	assert_int_equal(msg_update_decode(&r->update, message->data, message->len), 0);
}

static void on_drop(void *owner, void *request)
{
	if (!((struct fixture *)owner)->over)
		((struct fake_request *)request)->dropped++;
}

static void on_finished(uint64_t ask, void *arg)
{
	(void)ask, (void)arg;
}

static const struct polls_ops ops = { on_answer, on_drop };

static int setup(void **state)
{
	struct polls_conf c = {
		.wait_ms = 25000, .snapshots_max = 2, .fetch_ms = 10000, .behind_max = 1000, .ops = &ops
	};
	const struct model_conf mc = { .log_id = { 1 }, .rev = 10, .floor = 10, .changes_max = 4096 };
	struct fixture *f = calloc(1, sizeof *f);

	c.owner = f;
	assert_int_equal(model_new(&f->model, &mc, NULL), 0);
	assert_int_equal(asks_new(&f->asks, on_finished, NULL, NULL), 0);
	assert_int_equal(polls_new(&f->polls, &c, f->model, f->asks, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->over = true;
	polls_free(f->polls);
	asks_free(f->asks);
	model_free(f->model);
	free(f);
	return 0;
}

static void put(struct fixture *f, const char *id, uint64_t rev, size_t size)
{
	char *body = calloc(1, size + 1);
	const struct model_put p = { OBJECT_MAPPING, id, "g", "", false, rev, body, size, 0 };

	assert_int_equal(model_put(f->model, &p, rev, NULL), 0);
	model_advance(f->model, rev);
	free(body);
}

static void poll_page(
	struct fixture *f, const char *node, uint64_t have, uint64_t page, struct fake_request *r, uint64_t now)
{
	const struct polls_place where = { node, "g", 0 };
	struct msg_poll m = { .have = { .log_id = { 1 }, .seq = have }, .page_token = page };

	*r = (struct fake_request){ 0 };
	polls_request(f->polls, &where, &m, r, now);
}

static void poll(struct fixture *f, const char *node, uint64_t have, struct fake_request *r, uint64_t now)
{
	poll_page(f, node, have, 0, r, now);
}

static void test_parks_until_there_is_something_newer(void **state)
{
	struct fixture *f = *state;
	struct fake_request r;

	poll(f, "n1", 10, &r, 0);
	assert_int_equal(r.answered + r.dropped, 0);
	polls_wake(f->polls, 1);
	assert_int_equal(r.answered, 0);
	put(f, "a", 11, 10);
	polls_wake(f->polls, 2);
	assert_int_equal(r.answered, 1);
	assert_int_equal(r.update.kind, UPDATE_DELTA);
	assert_int_equal(r.update.from.seq, 10);
	assert_int_equal(r.update.to.seq, 11);
	assert_int_equal(r.update.n_entries, 1);
}

static void test_answers_at_once_who_is_behind(void **state)
{
	struct fixture *f = *state;
	struct fake_request r;

	put(f, "a", 11, 10);
	poll(f, "n1", 10, &r, 0);
	assert_int_equal(r.answered, 1);
	assert_int_equal(r.update.kind, UPDATE_DELTA);
}

static void test_wait_ends(void **state)
{
	struct fixture *f = *state;
	struct fake_request r1, r2;

	poll(f, "n1", 10, &r1, 0);
	poll(f, "n2", 10, &r2, 100);
	assert_int_equal(polls_tick(f->polls, 24999), 25000);
	assert_int_equal(r1.answered, 0);
	assert_int_equal(polls_tick(f->polls, 25000), 25100);
	assert_int_equal(r1.answered, 1);
	assert_int_equal(r1.update.kind, UPDATE_NOTHING);
	assert_int_equal(r2.answered, 0);
}

/* A relay whose group is quiet for long would need a snapshot after a restart of controld. */
static void test_wait_ends_far_behind(void **state)
{
	struct fixture *f = *state;
	struct fake_request r;

	poll(f, "n1", 10, &r, 0);
	model_advance(f->model, 5000);
	polls_tick(f->polls, 25000);
	assert_int_equal(r.update.kind, UPDATE_DELTA);
	assert_int_equal(r.update.to.seq, 5000);
	assert_int_equal(r.update.n_entries, 0);
}

static void test_newer_poll_frees_the_older(void **state)
{
	struct fixture *f = *state;
	struct fake_request old, new_;
	struct polls_stats s;

	poll(f, "n1", 10, &old, 0);
	poll(f, "n1", 10, &new_, 1);
	assert_int_equal(old.dropped, 1);
	put(f, "a", 11, 10);
	polls_wake(f->polls, 2);
	assert_int_equal(old.answered, 0);
	assert_int_equal(new_.answered, 1);
	polls_stats(f->polls, &s);
	assert_int_equal(s.parked, 0);
	assert_int_equal(s.superseded, 1);
}

static void test_lost_and_forgotten(void **state)
{
	struct fixture *f = *state;
	struct fake_request r, other;

	poll(f, "n1", 10, &r, 0);
	polls_lost(f->polls, "n1", &other, 1);
	assert_int_equal(r.dropped, 0);
	polls_lost(f->polls, "n1", &r, 1);
	polls_lost(f->polls, "n1", &r, 1);
	assert_int_equal(r.dropped, 1);
	poll(f, "n1", 10, &r, 2);
	polls_forget(f->polls, "n1", 3);
	polls_forget(f->polls, "n1", 3);
	assert_int_equal(r.dropped, 1);
	poll(f, "n2", 10, &other, 4); /* the end of it all drops it */
}

static void test_small_snapshot_in_one_page(void **state)
{
	struct fixture *f = *state;
	struct fake_request r;

	put(f, "a", 11, 100);
	poll(f, "n1", 5, &r, 0);
	assert_int_equal(r.update.kind, UPDATE_SNAPSHOT);
	assert_int_equal(r.update.to.seq, 11);
	assert_int_equal(r.update.next_page, 0);
	assert_int_equal(r.update.n_entries, 1);
}

static void fill(struct fixture *f, unsigned n, size_t size)
{
	char id[16];

	for (unsigned i = 0; i < n; i++) {
		str_fmt(id, sizeof id, "m%u", i);
		put(f, id, 11 + i, size);
	}
}

static void test_pages(void **state)
{
	struct fixture *f = *state;
	struct fake_request r;
	uint32_t n;
	uint64_t to, token;

	fill(f, 30, 100000); /* 3 MB: four pages */
	poll(f, "n1", 0, &r, 0);
	n = r.update.n_entries;
	to = r.update.to.seq;
	assert_true(r.update.next_page != 0);
	put(f, "m0", 100, 10); /* while it fetches */
	while ((token = r.update.next_page) != 0) {
		poll_page(f, "n1", 0, token, &r, 1);
		assert_int_equal(r.answered, 1);
		assert_int_equal(r.update.kind, UPDATE_SNAPSHOT);
		assert_int_equal(r.update.to.seq, to);
		n += r.update.n_entries;
	}
	assert_int_equal(n, 30);
	poll(f, "n1", to, &r, 2);
	assert_int_equal(r.update.kind, UPDATE_DELTA);
	assert_int_equal(r.update.to.seq, 100);
}

static void test_same_page_again_and_unknown_token(void **state)
{
	struct fixture *f = *state;
	struct fake_request r, again;
	uint64_t token;

	fill(f, 30, 100000);
	poll(f, "n1", 0, &r, 0);
	token = r.update.next_page;
	poll_page(f, "n1", 0, token, &r, 1);
	poll_page(f, "n1", 0, token, &again, 1);
	assert_int_equal(again.update.n_entries, r.update.n_entries);
	assert_int_equal(again.update.next_page, r.update.next_page);
	poll_page(f, "n1", 0, token ^ (UINT64_C(1) << 40), &r, 2); /* begins anew */
	assert_int_equal(r.update.kind, UPDATE_SNAPSHOT);
	assert_int_not_equal(r.update.next_page, token);
}

static void test_few_snapshots_at_a_time(void **state)
{
	static const char *const names[] = { "n1", "n2", "n3", "n4", "n5" };
	struct fixture *f = *state;
	struct fake_request r[5];
	struct polls_stats s;

	fill(f, 2, 50000);
	for (size_t i = 0; i < 5; i++)
		poll(f, names[i], 0, &r[i], i);
	assert_int_equal(r[0].answered + r[1].answered, 2);
	assert_int_equal(r[2].answered + r[3].answered + r[4].answered, 0);
	polls_wake(f->polls, 9);
	polls_stats(f->polls, &s);
	assert_int_equal(s.fetching, 2);
	assert_int_equal(s.parked, 3);

	poll(f, "n1", 12, &r[0], 10); /* it has all: the next one's turn */
	assert_int_equal(r[2].answered, 1);
	polls_lost(f->polls, "n4", &r[3], 11);
	polls_tick(f->polls, 10001); /* n2 never came back */
	assert_int_equal(r[4].answered, 1);
}

static void test_who_waits_too_long_comes_later(void **state)
{
	struct fixture *f = *state;
	struct fake_request a, b, c;

	fill(f, 30, 100000);
	poll(f, "n1", 0, &a, 0);
	poll(f, "n2", 0, &b, 0);
	poll(f, "n3", 0, &c, 0);
	for (uint64_t now = 5000; now < 25000; now += 5000) { /* slowly, the same page again and again */
		poll_page(f, "n1", 0, a.update.next_page, &(struct fake_request){ 0 }, now);
		poll_page(f, "n2", 0, b.update.next_page, &(struct fake_request){ 0 }, now);
		polls_tick(f->polls, now);
	}
	assert_int_equal(c.answered, 0);
	polls_tick(f->polls, 25000);
	assert_int_equal(c.answered, 1);
	assert_int_equal(c.update.kind, UPDATE_LATER);
	assert_in_range(c.update.retry_ms, 1, 5000);
}

static void test_ask_wakes(void **state)
{
	const struct ask what = { .kind = ASK_CONNECTIONS, .limit = 10 };
	const struct asks_node n1 = { "n1", "edge-1" };
	struct fixture *f = *state;
	struct fake_request r;
	uint64_t id;

	poll(f, "n1", 10, &r, 1000);
	assert_int_equal(asks_open(f->asks, &what, &n1, 1, 1000, &id, NULL), 0);
	polls_wake_node(f->polls, &(struct polls_place){ .node = "n1" }, 1000);
	assert_int_equal(r.answered, 1);
	assert_int_equal(r.update.kind, UPDATE_NOTHING);
	assert_int_equal(r.update.n_asks, 1);
	assert_int_equal(r.update.asks[0].id, id);
	poll(f, "n1", 10, &r, 1001); /* not answered yet, not given again at once */
	assert_int_equal(r.answered, 0);
	put(f, "a", 11, 10);
	polls_wake(f->polls, 1000 + ASKS_AGAIN_MS); /* goes with whatever is sent */
	assert_int_equal(r.update.kind, UPDATE_DELTA);
	assert_int_equal(r.update.n_asks, 1);
}

static void test_placed_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct fake_request r;

	put(f, "a", 11, 10);
	poll(f, "n1", 11, &r, 0);
	model_advance(f->model, 12);
	polls_wake_node(f->polls, &(struct polls_place){ "n1", "other", 12 }, 1);
	assert_int_equal(r.update.kind, UPDATE_SNAPSHOT);
	assert_int_equal(r.update.to.seq, 12);
	assert_int_equal(r.update.n_entries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_parks_until_there_is_something_newer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_at_once_who_is_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_ends_far_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_poll_frees_the_older, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_and_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_snapshot_in_one_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_page_again_and_unknown_token, setup, teardown),
		cmocka_unit_test_setup_teardown(test_few_snapshots_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_waits_too_long_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ask_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_placed_elsewhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
