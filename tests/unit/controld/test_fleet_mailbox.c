#include "controld/fleet/line/mailbox.h"

#include "common/base/clock.h"
#include "common/base/err.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A letter that notes when it was opened, and may post itself or another one. */
struct note {
	struct letter letter;
	struct mailbox *mailbox;
	unsigned *clock;
	unsigned opened, at;
	unsigned again; /* so often it posts itself */
};

static void on_note(struct letter *l)
{
	struct note *n = CONTAINER_OF(l, struct note, letter);

	n->opened++;
	n->at = ++*n->clock;
	if (n->again > 0) {
		n->again--;
		mailbox_post(n->mailbox, l);
	}
}

static struct note note_make(struct mailbox *m, unsigned *clock)
{
	return (struct note){ .mailbox = m, .clock = clock };
}

static struct mailbox *mailbox_make(void)
{
	struct mailbox *m;

	assert_int_equal(mailbox_new(&m, NULL), 0);
	return m;
}

static void test_in_order_and_once(void **state)
{
	struct mailbox *m = mailbox_make();
	unsigned clock = 0;
	struct note a = note_make(m, &clock), b = note_make(m, &clock);

	(void)state;
	letter_init(&a.letter, on_note);
	letter_init(&b.letter, on_note);
	mailbox_post(m, &b.letter);
	mailbox_post(m, &a.letter);
	mailbox_post(m, &b.letter); /* it waits already */
	mailbox_wait(m, clock_mono_ms() + 30000);
	assert_int_equal(a.opened, 1);
	assert_int_equal(b.opened, 1);
	assert_true(b.at < a.at);
	mailbox_drain(m);
	assert_int_equal(clock, 2);
	mailbox_free(m);
}

/* Letters that post each other cannot keep the thread from its timers. */
static void test_a_turn_ends(void **state)
{
	struct mailbox *m = mailbox_make();
	unsigned clock = 0;
	struct note a = note_make(m, &clock);

	(void)state;
	letter_init(&a.letter, on_note);
	a.again = 3;
	mailbox_post(m, &a.letter);
	for (unsigned turn = 1; turn <= 4; turn++) {
		mailbox_wait(m, clock_mono_ms() + 30000);
		assert_int_equal(a.opened, turn);
	}
	mailbox_free(m);
}

static void test_deadline(void **state)
{
	struct mailbox *m = mailbox_make();
	uint64_t start = clock_mono_ms();

	(void)state;
	mailbox_wait(m, start); /* in the past */
	mailbox_wait(m, start + 20);
	assert_true(clock_mono_ms() >= start + 20);
	mailbox_free(m);
}

#define POSTERS 4
#define POSTS   10000

struct poster {
	struct mailbox *mailbox;
	struct letter letter;
	unsigned opened, posted; /* posted: atomic */
};

static void on_posted(struct letter *l)
{
	CONTAINER_OF(l, struct poster, letter)->opened++;
}

static void *work_post(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		mailbox_post(p->mailbox, &p->letter);
		__atomic_fetch_add(&p->posted, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct mailbox *m = mailbox_make();
	struct poster posters[POSTERS] = { { .mailbox = m }, { .mailbox = m }, { .mailbox = m }, { .mailbox = m } };
	pthread_t threads[POSTERS];
	unsigned done;

	(void)state;
	for (int i = 0; i < POSTERS; i++) {
		letter_init(&posters[i].letter, on_posted);
		assert_int_equal(pthread_create(&threads[i], NULL, work_post, &posters[i]), 0);
	}
	do {
		mailbox_wait(m, clock_mono_ms() + 5);
		done = 0;
		for (int i = 0; i < POSTERS; i++)
			done += __atomic_load_n(&posters[i].posted, __ATOMIC_ACQUIRE) == POSTS;
	} while (done < POSTERS);
	mailbox_drain(m);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(threads[i], NULL);
		assert_in_range(posters[i].opened, 1, POSTS);
		assert_false(posters[i].letter.posted);
	}
	mailbox_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order_and_once),
		cmocka_unit_test(test_a_turn_ends),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
