/*
 * Two controlds on one PostgreSQL, as two stores: a commit of the one wakes the readers of the other, and messages travel.
 * On SQLite, where there can be one only, nothing happens.
 */
#include "controld/store/watch.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/store/changes.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#define LONG_MESSAGE 100000

/* What a watch has told. */
struct heard {
	pthread_mutex_t lock;
	char kinds[256], from[32];
	uint8_t last[LONG_MESSAGE];
	size_t n;
	unsigned messages, gaps;
	atomic_llong seq;
};

static struct side {
	struct test_store t; /* the second one's has no folder of its own */
	struct watch *watch;
	struct heard heard;
} one, two;

static void on_message(void *owner, const char *from, const void *p, size_t n)
{
	struct heard *h = owner;

	pthread_mutex_lock(&h->lock);
	(void)str_copy(h->from, sizeof h->from, from);
	memcpy(h->last, p, n);
	h->n = n;
	h->messages++;
	pthread_mutex_unlock(&h->lock);
}

static void on_gap(void *owner)
{
	struct heard *h = owner;

	pthread_mutex_lock(&h->lock);
	h->gaps++;
	pthread_mutex_unlock(&h->lock);
}

static void on_away(void *owner)
{
	(void)owner;
}

static void on_kinds(void *owner, const char *kinds)
{
	struct heard *h = owner;

	pthread_mutex_lock(&h->lock);
	(void)str_copy(h->kinds, sizeof h->kinds, kinds != NULL ? kinds : "*");
	pthread_mutex_unlock(&h->lock);
}

static void on_commit(int64_t last_seq, void *arg)
{
	atomic_store(&((struct heard *)arg)->seq, last_seq);
}

static void listen_in(struct side *s, const char *self)
{
	static const struct watch_ops ops = { on_message, on_gap, on_away, on_kinds };
	struct err e;

	pthread_mutex_init(&s->heard.lock, NULL);
	store_set_origin(s->t.store, self);
	changes_on_commit(s->t.store, on_commit, &s->heard);
	TEST_STORE_MUST(watch_new(&s->watch, s->t.store, self, &e), e);
	TEST_STORE_MUST(watch_start(s->watch, &ops, &s->heard, &e), e);
}

static unsigned counter(struct side *s, const unsigned *n)
{
	unsigned value;

	pthread_mutex_lock(&s->heard.lock);
	value = *n;
	pthread_mutex_unlock(&s->heard.lock);
	return value;
}

static void wait_counter(struct side *s, const unsigned *n, unsigned want)
{
	uint64_t end = clock_mono_ms() + 30000;

	while (counter(s, n) < want)
		assert_true(clock_mono_ms() < end);
}

static int setup(void **state)
{
	(void)state;
	memset(&one, 0, sizeof one);
	memset(&two, 0, sizeof two);
	test_store_open(&one.t);
	memcpy(&two.t, &one.t, sizeof two.t);
	if (!test_store_on_postgres()) {
		listen_in(&one, "ctl_1");
		return 0;
	}
	test_store_reopen(&two.t);
	listen_in(&one, "ctl_1");
	listen_in(&two, "ctl_2");
	wait_counter(&one, &one.heard.gaps, 1);
	wait_counter(&two, &two.heard.gaps, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	watch_free(two.watch);
	watch_free(one.watch);
	if (test_store_on_postgres())
		store_close(two.t.store);
	test_store_close(&one.t);
	return 0;
}

static int work_append(struct db *tx, void *arg, struct err *e)
{
	const struct change user = { .kind = "user", .op = "update", .subject = "usr_1" };
	const struct change mapping = { .kind = "mapping", .op = "update", .subject = "map_1" };

	if (changes_append(tx, &user, NULL, e) != 0 || changes_append(tx, &mapping, NULL, e) != 0)
		return -1;
	return changes_append(tx, &user, arg, e);
}

static void a_commit_wakes_the_other(void **state)
{
	uint64_t end = clock_mono_ms() + 30000;
	struct err e;
	int64_t seq;

	(void)state;
	TEST_STORE_MUST(store_write(one.t.store, STORE_LOGGED, work_append, &seq, &e), e);
	assert_int_equal(atomic_load(&one.heard.seq), seq); /* its own, before the answer */
	if (!test_store_on_postgres())
		return;
	while (atomic_load(&two.heard.seq) != seq)
		assert_true(clock_mono_ms() < end);
	pthread_mutex_lock(&two.heard.lock);
	assert_string_equal(two.heard.kinds, "user,mapping");
	pthread_mutex_unlock(&two.heard.lock);
}

static void messages_travel_short_and_long(void **state)
{
	static uint8_t bytes[LONG_MESSAGE];
	struct watch_stats s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7);
	watch_send(one.watch, bytes, 10);
	if (!watch_shared(one.watch)) {
		watch_stats(one.watch, &s);
		assert_int_equal(s.sent + s.dropped, 0);
		return;
	}
	wait_counter(&two, &two.heard.messages, 1);
	assert_int_equal(two.heard.n, 10);
	assert_memory_equal(two.heard.last, bytes, 10);
	assert_string_equal(two.heard.from, "ctl_1");
	watch_send(one.watch, bytes, sizeof bytes);
	wait_counter(&two, &two.heard.messages, 2);
	assert_int_equal(two.heard.n, sizeof bytes);
	assert_memory_equal(two.heard.last, bytes, sizeof bytes);
	for (unsigned i = 0; i < 200; i++)
		watch_send(two.watch, &bytes[i], 1);
	wait_counter(&one, &one.heard.messages, 200);
	assert_int_equal(one.heard.last[0], bytes[199]);         /* in their order */
	assert_int_equal(counter(&two, &two.heard.messages), 2); /* nobody hears himself */
	TEST_STORE_MUST(watch_clean(one.t.store, clock_wall_ms() + 3600000, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_commit_wakes_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(messages_travel_short_and_long, setup, teardown),
	};

	log_init("test_watch", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
