#include "relayd/running.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/services.h"
#include "tests/unit/relayd/updates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A service that writes down what it is told. */
struct witness {
	struct running *running;
	struct refusals *refusals;
	struct services services;
	char told[200];
	unsigned applied, current, other_log, changes;
};

static void on_difference(const struct object *old, const struct object *new_, void *arg)
{
	struct witness *w = arg;
	size_t at = strlen(w->told);

	str_fmt(w->told + at, sizeof w->told - at, "%s%s ",
		old == NULL    ? "+"
		: new_ == NULL ? "-"
			       : "~",
		old == NULL ? new_->id : old->id);
}

static void on_apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	struct witness *w = self;

	w->told[0] = '\0';
	w->applied++;
	snapshot_diff(old, new_, on_difference, w);
}

static void on_current(void *arg, struct snapshot *s)
{
	struct witness *w = arg;

	assert_ptr_equal(s, running_snapshot(w->running));
	w->current++;
}

static void on_other_log(void *arg)
{
	((struct witness *)arg)->other_log++;
}

static void on_refusals(void *arg)
{
	((struct witness *)arg)->changes++;
}

static int set_up(void **state)
{
	static struct witness w;
	static const struct service_ops ops = { .name = "witness", .apply = on_apply };
	const struct running_conf conf = {
		.services = &w.services, .on_current = on_current, .on_other_log = on_other_log, .arg = &w
	};
	struct running_conf with = conf;

	memset(&w, 0, sizeof w);
	w.services.list[w.services.n++] = (struct service){ .ops = &ops, .self = &w };
	if (refusals_new(&w.refusals, on_refusals, &w, NULL) != 0)
		return -1;
	with.refusals = w.refusals;
	*state = &w;
	return running_new(&w.running, &with, NULL);
}

static int tear_down(void **state)
{
	struct witness *w = *state;

	running_free(w->running);
	refusals_free(w->refusals);
	return 0;
}

static uint64_t tell(struct witness *w, const struct msg_update *head, const struct update_line *lines)
{
	static const struct update_line none[] = { NO_MORE };
	struct msg_update m;
	struct buf b;
	uint64_t wait;

	update_make(&b, &m, head, lines != NULL ? lines : none);
	wait = running_update(w->running, &m);
	buf_free(&b);
	return wait;
}

/* What the next poll would say: revision, page. */
static void expect_poll(struct witness *w, uint8_t log, uint64_t seq, uint64_t page)
{
	struct msg_poll m = { .page_token = 99 };
	struct proto_revision want = revision_of(log, seq);

	running_fill(w->running, &m);
	assert_memory_equal(m.have.log_id, want.log_id, sizeof want.log_id);
	assert_int_equal(m.have.seq, seq);
	assert_int_equal(m.page_token, page);
	assert_memory_equal(&m.state.applied, &running_snapshot(w->running)->revision, sizeof m.state.applied);
}

static const struct update_line three[] = { PUT("a", 1), PUT("b", 2), BAD_BODY("c", 3), NO_MORE };
static const struct update_line change[] = { PUT("a", 4), GONE("b", 4), NO_MORE };

static void begin(struct witness *w)
{
	const struct msg_update all = { .kind = UPDATE_SNAPSHOT, .to = revision_of(1, 3) };

	assert_int_equal(tell(w, &all, three), 0);
	assert_string_equal(w->told, "+a +b +c ");
}

static void snapshots_deltas_acknowledgements(void **state)
{
	const struct msg_update delta = { .kind = UPDATE_DELTA, .from = revision_of(1, 3), .to = revision_of(1, 4) };
	const struct msg_update nothing = { .kind = UPDATE_NOTHING };
	const struct msg_update later = { .kind = UPDATE_LATER, .retry_ms = 700 };
	struct witness *w = *state;

	assert_false(running_has_snapshot(w->running));
	expect_poll(w, 0, 0, 0);
	begin(w);
	assert_true(running_has_snapshot(w->running));
	expect_poll(w, 1, 3, 0);
	assert_int_equal(tell(w, &delta, change), 0);
	assert_string_equal(w->told, "~a -b ");
	expect_poll(w, 1, 4, 0);
	assert_int_equal(w->current, 2);
	assert_int_equal(tell(w, &nothing, NULL), 0);
	assert_int_equal(w->current, 3);
	assert_int_equal(tell(w, &later, NULL), 700);
	assert_int_equal(w->applied, 2);
	assert_int_equal(w->other_log, 0);
}

static void faulty_objects_are_refused_by_id(void **state)
{
	static const struct update_line good[] = { PUT("c", 4), NO_MORE };
	static const struct update_line gone[] = { GONE("c", 6), NO_MORE };
	static const struct update_line bad[] = { UNKNOWN("c", 5), NO_MORE };
	struct msg_update delta = { .kind = UPDATE_DELTA };
	struct node_state s = { .n = 0 };
	struct witness *w = *state;

	begin(w);
	running_state(w->running, &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.refusals[0].id, "c");
	assert_int_equal(s.refusals[0].kind, OBJECT_MAPPING);
	for (uint64_t seq = 3; seq < 6; seq++) {
		delta.from = revision_of(1, seq);
		delta.to = revision_of(1, seq + 1);
		assert_int_equal(tell(w, &delta, seq == 3 ? good : seq == 4 ? bad : gone), 0);
		running_state(w->running, &s);
		assert_int_equal(s.n, seq == 4);
	}
}

static void what_does_not_fit_is_asked_for_as_a_whole(void **state)
{
	const struct msg_update odd = { .kind = UPDATE_DELTA, .from = revision_of(1, 77), .to = revision_of(1, 78) };
	const struct msg_update nothing = { .kind = UPDATE_NOTHING };
	const struct msg_update all = { .kind = UPDATE_SNAPSHOT, .to = revision_of(1, 78) };
	const struct msg_update from_nothing = { .kind = UPDATE_DELTA, .to = revision_of(1, 79) };
	struct witness *w = *state;

	begin(w);
	assert_true(tell(w, &odd, change) > 0);
	expect_poll(w, 0, 0, 0); /* as if it had nothing, but what it has still serves */
	assert_int_equal(running_snapshot(w->running)->n, 3);
	assert_int_equal(tell(w, &nothing, NULL), 0);
	assert_int_equal(w->current, 1); /* "nothing new" to a relay with nothing confirms nothing */
	assert_int_equal(tell(w, &all, three), 0);
	assert_string_equal(w->told, ""); /* the same objects: nobody is disturbed */
	expect_poll(w, 1, 78, 0);
	assert_true(tell(w, &odd, change) > 0);
	assert_int_equal(tell(w, &from_nothing, three), 0); /* a delta from nothing is a whole, too */
	expect_poll(w, 1, 79, 0);
}

static void pages(void **state)
{
	static const struct update_line more[] = { PUT("z", 9), NO_MORE };
	struct msg_update page = { .kind = UPDATE_SNAPSHOT, .to = revision_of(2, 9), .next_page = 5 };
	struct witness *w = *state;

	begin(w);
	assert_int_equal(tell(w, &page, three), 0);
	expect_poll(w, 1, 3, 5);
	assert_int_equal(w->applied, 1);
	page.to = revision_of(2, 10); /* it moved on meanwhile: the pages do not belong together */
	assert_true(tell(w, &page, more) > 0);
	expect_poll(w, 0, 0, 0);
	assert_int_equal(tell(w, &page, three), 0);
	page.next_page = 0;
	assert_int_equal(tell(w, &page, more), 0);
	expect_poll(w, 2, 10, 0);
	assert_string_equal(w->told, "+z ");
	assert_int_equal(w->other_log, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(snapshots_deltas_acknowledgements),
		TEST(faulty_objects_are_refused_by_id),
		TEST(what_does_not_fit_is_asked_for_as_a_whole),
		TEST(pages),
	};

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
