#include "common/uv/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(12345) * SECOND)

struct probe {
	struct timer timer;
	struct wheel *wheel;
	uint64_t fired_ns; /* the test's clock when it fired */
	unsigned fired;
	uint64_t again_ns; /* re-arms itself this long after; 0: no */
};

static uint64_t now;

static void on_due(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);

	p->fired++;
	p->fired_ns = now;
	if (p->again_ns != 0)
		wheel_arm(p->wheel, t, now + p->again_ns);
}

static void probe_init(struct probe *p, struct wheel *w)
{
	*p = (struct probe){ .wheel = w };
	timer_init(&p->timer, on_due);
}

/* As a worker does: sleep until the wheel says so, then advance. */
static void run_until(struct wheel *w, uint64_t end)
{
	while (now < end) {
		uint64_t next = wheel_next_ns(w);

		now = next > now && next < end ? next : end;
		wheel_advance(w, now);
	}
}

static const struct {
	const char *what;
	uint64_t after_ns, late_ns; /* armed for, may be late by */
} waits[] = {
	{ "now", 0, WHEEL_TICK_NS },
	{ "one nanosecond", 1, WHEEL_TICK_NS },
	{ "one tick", WHEEL_TICK_NS, WHEEL_TICK_NS },
	{ "half a second", SECOND / 2, WHEEL_TICK_NS },
	{ "ten seconds", 10 * SECOND, 17 * WHEEL_TICK_NS },
	{ "a time round", WHEEL_SLOTS *WHEEL_TICK_NS, 17 * WHEEL_TICK_NS },
	{ "an hour", 3600 * SECOND, 17 * WHEEL_TICK_NS },
};

static void fires_once_and_on_time(void **state)
{
	static struct wheel w;
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		struct probe p;

		now = START;
		wheel_init(&w, now);
		probe_init(&p, &w);
		wheel_arm(&w, &p.timer, now + waits[i].after_ns);
		run_until(&w, START + waits[i].after_ns + 40 * SECOND);
		if (p.fired != 1 || p.fired_ns < START + waits[i].after_ns ||
			p.fired_ns > START + waits[i].after_ns + waits[i].late_ns) {
			print_error("%s: fired %u times, after %llu ns\n", waits[i].what, p.fired,
				(unsigned long long)(p.fired_ns - START));
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

static void fires_after_a_long_sleep(void **state)
{
	static struct wheel w;
	struct probe p[3];

	(void)state;
	now = START;
	wheel_init(&w, now);
	for (unsigned i = 0; i < 3; i++) {
		probe_init(&p[i], &w);
		wheel_arm(&w, &p[i].timer, now + (i + 1) * 100 * SECOND);
	}
	now += 250 * SECOND; /* a machine that was suspended */
	wheel_advance(&w, now);
	assert_int_equal(p[0].fired + p[1].fired, 2);
	assert_int_equal(p[2].fired, 0);
	run_until(&w, START + 301 * SECOND);
	assert_int_equal(p[2].fired, 1);
}

static void rearms_in_its_callback(void **state)
{
	static struct wheel w;
	struct probe p;

	(void)state;
	now = START;
	wheel_init(&w, now);
	probe_init(&p, &w);
	p.again_ns = WHEEL_SLOTS * WHEEL_TICK_NS; /* the slot that is being turned */
	wheel_arm(&w, &p.timer, now);
	run_until(&w, START + 60 * SECOND);
	assert_in_range(p.fired, 3, 4);
	wheel_disarm(&p.timer);
	assert_false(timer_armed(&p.timer));
	run_until(&w, START + 90 * SECOND);
	assert_in_range(p.fired, 3, 4);
	assert_true(wheel_next_ns(&w) == UINT64_MAX);
}

static void disarm_neighbour(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);

	p->fired++;
	wheel_disarm(&p[1].timer);
}

static void a_callback_may_disarm_what_is_due_too(void **state)
{
	static struct wheel w;
	struct probe p[2];

	(void)state;
	now = START;
	wheel_init(&w, now);
	probe_init(&p[0], &w);
	probe_init(&p[1], &w);
	p[0].timer.on_due = disarm_neighbour;
	wheel_arm(&w, &p[0].timer, now + SECOND / 2);
	wheel_arm(&w, &p[1].timer, now + SECOND / 2);
	run_until(&w, START + 2 * SECOND);
	assert_int_equal(p[0].fired, 1);
	assert_int_equal(p[1].fired, 0);
}

static void ten_thousand_idle_ones_wake_rarely(void **state)
{
	static struct wheel w;
	static struct probe p[10000];
	unsigned wakes = 0;

	(void)state;
	now = START;
	wheel_init(&w, now);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		probe_init(&p[i], &w);
		wheel_arm(&w, &p[i].timer, now + 300 * SECOND + i * 1000000);
	}
	while (now < START + 100 * SECOND) {
		now = wheel_next_ns(&w);
		wheel_advance(&w, now);
		wakes++;
	}
	assert_in_range(wakes, 0, 100 * 5);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		wheel_disarm(&p[i].timer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_once_and_on_time),
		cmocka_unit_test(fires_after_a_long_sleep),
		cmocka_unit_test(rearms_in_its_callback),
		cmocka_unit_test(a_callback_may_disarm_what_is_due_too),
		cmocka_unit_test(ten_thousand_idle_ones_wake_rarely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
