#include "client/resource/rates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add(struct rates *r, const char *id, int in, int out, int opened, int active)
{
	json_t *m = json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i}}", "id", id, "status",
		active >= 0 ? "active" : "error", "traffic_stats", "bytes_received", in, "bytes_sent", out,
		"connections_total", opened, "connections_active", active >= 0 ? active : 0);

	assert_int_equal(rates_add(r, m), 0);
	json_decref(m);
}

static const char *id_at(const struct rates *r, size_t i)
{
	return json_string_value(json_object_get(rates_at(r, i), "id"));
}

static json_int_t rate_at(const struct rates *r, size_t i, const char *what)
{
	return json_integer_value(json_object_get(json_object_get(rates_at(r, i), "rate"), what));
}

static void test_rates(void **state)
{
	struct rates *r;

	(void)state;
	assert_int_equal(rates_new(&r), 0);
	rates_begin(r, 1000);
	add(r, "a", 100, 200, 1, 0);
	add(r, "b", 5000, 0, 1, 3);
	add(r, "c", 0, 0, 0, -1);
	rates_end(r);
	assert_int_equal(rates_count(r), 3);
	assert_string_equal(id_at(r, 0), "b"); /* no rate is known yet: whoever has connections is first */
	assert_int_equal(rate_at(r, 0, "in"), 0);
	assert_int_equal(rates_total(r)->tunnels, 3);
	assert_int_equal(rates_total(r)->active, 2);
	assert_int_equal(rates_total(r)->failed, 1);
	assert_int_equal(rates_total(r)->connections, 3);

	rates_begin(r, 3000);
	add(r, "a", 2100, 600, 5, 1);
	add(r, "b", 5000, 0, 1, 3);
	add(r, "d", 1000000, 0, 0, 0);
	rates_end(r);
	assert_int_equal(rates_count(r), 3);
	assert_string_equal(id_at(r, 0), "a");
	assert_int_equal(rate_at(r, 0, "in"), 1000);
	assert_int_equal(rate_at(r, 0, "out"), 200);
	assert_int_equal(rate_at(r, 0, "opened"), 2);
	assert_string_equal(id_at(r, 1), "b");
	assert_string_equal(id_at(r, 2), "d"); /* what was there before it was looked at is no rate */
	assert_int_equal(rates_total(r)->in, 1000);
	rates_free(r);
}

static void add_reached(struct rates *r, int reached, int us)
{
	json_t *m = json_pack(
		"{s:s, s:{s:i, s:i}}", "id", "a", "traffic_stats", "targets_reached", reached, "connect_time_us", us);

	rates_begin(r, 1000);
	assert_int_equal(rates_add(r, m), 0);
	rates_end(r);
	json_decref(m);
}

/* The time of those connections that came since the last look; without any there is none. */
static void test_connect_times(void **state)
{
	struct rates *r;

	(void)state;
	assert_int_equal(rates_new(&r), 0);
	add_reached(r, 10, 90000);
	assert_true(json_is_null(json_object_get(json_object_get(rates_at(r, 0), "rate"), "connect_us")));
	add_reached(r, 14, 91000);
	assert_int_equal(rate_at(r, 0, "connect_us"), 250);
	add_reached(r, 14, 91000);
	assert_true(json_is_null(json_object_get(json_object_get(rates_at(r, 0), "rate"), "connect_us")));
	add_reached(r, 20, 5); /* a counter that fell */
	assert_true(json_is_null(json_object_get(json_object_get(rates_at(r, 0), "rate"), "connect_us")));
	rates_free(r);
}

/* A database that was restored: counters fall, and that is not a huge rate. */
static void test_counters_that_fall(void **state)
{
	struct rates *r;

	(void)state;
	assert_int_equal(rates_new(&r), 0);
	rates_begin(r, 1000);
	add(r, "a", 5000, 5000, 5, 0);
	rates_end(r);
	rates_begin(r, 2000);
	add(r, "a", 10, 10, 1, 0);
	rates_end(r);
	assert_int_equal(rate_at(r, 0, "in"), 0);
	rates_begin(r, 3000);
	add(r, "a", 20, 10, 1, 0);
	rates_end(r);
	assert_int_equal(rate_at(r, 0, "in"), 10);
	rates_free(r);
}

/* A look that broke off changes no sum and forgets nobody; the next one measures from what was seen. */
static void test_a_look_that_breaks_off(void **state)
{
	struct rates *r;

	(void)state;
	assert_int_equal(rates_new(&r), 0);
	rates_begin(r, 1000);
	add(r, "a", 0, 0, 0, 1);
	add(r, "b", 0, 0, 0, 1);
	rates_end(r);
	rates_begin(r, 2000);
	add(r, "a", 100, 0, 0, 1);
	assert_int_equal(rates_total(r)->connections, 2);
	rates_begin(r, 4000);
	add(r, "a", 300, 0, 0, 1);
	add(r, "b", 300, 0, 0, 1);
	rates_end(r);
	assert_int_equal(rate_at(r, 0, "in"), 100);
	assert_int_equal(rate_at(r, 1, "in"), 100);
	rates_free(r);
}

static void test_many(void **state)
{
	struct rates *r;
	char id[16];

	(void)state;
	assert_int_equal(rates_new(&r), 0);
	for (unsigned look = 1; look <= 3; look++) {
		rates_begin(r, look * 1000);
		for (int i = 0; i < 1000; i++) {
			(void)snprintf(id, sizeof id, "%d", i);
			add(r, id, i * (int)look, 0, 0, 0);
		}
		rates_end(r);
	}
	assert_string_equal(id_at(r, 0), "999");
	assert_string_equal(id_at(r, 999), "0");
	rates_begin(r, 4000);
	rates_end(r);
	assert_int_equal(rates_count(r), 0);
	rates_free(r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_connect_times),
		cmocka_unit_test(test_counters_that_fall),
		cmocka_unit_test(test_a_look_that_breaks_off),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
