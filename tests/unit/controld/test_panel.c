/* panels: answers read by their drivers, odd ones too; the rate that is kept; how long an answer asks to wait. */
#include "controld/panel/panel.h"

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/panel/panel_call.h"
#include "controld/panel/pick.h"
#include "controld/panel/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- answers ----------------------------------------------------------------------------------------------------------- */

static const struct panel_list *list_of(const struct panel_driver *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (str_eq(d->lists[i].name, name))
			return &d->lists[i];
	fail_msg("%s has no %s", d->name, name);
	return NULL;
}

#define META(pages, total) ",\"meta\":{\"pagination\":{\"total\":" total ",\"total_pages\":" pages ",\"links\":[]}}"
#define LIST(items)        "{\"object\":\"list\",\"data\":[" items "]"
#define SERVER(rels)       "{\"object\":\"server\",\"attributes\":{\"id\":7,\"name\":\"s\",\"node\":2,\"user\":3," rels "}}"
#define RELATED(x)         "\"relationships\":{" x "}"
#define DATABASE           "{\"object\":\"databases\",\"attributes\":{\"id\":9,\"database\":\"d\",\"server\":7}}"

struct reading {
	const char *what;
	const struct panel_driver *driver;
	const char *list, *json;
	int objects; /* -1: no such answer */
	size_t listed, failed;
	unsigned missing, denied;
	int64_t pages, total;
};

static const struct reading readings[] = {
	{ "nothing", &panel_pterodactyl, "users", LIST("") META("1", "0") "}", 0, 0, 0, 0, 0, 1, 0 },
	{ "one", &panel_pterodactyl, "users", LIST("{\"attributes\":{\"id\":1}}") META("3", "201") "}", 1, 1, 0, 0, 0,
		3, 201 },
	{ "numbers as texts", &panel_pterodactyl, "users",
		LIST("{\"attributes\":{\"id\":\"1\"}}") META("\"3\"", "\"201\"") "}", 1, 1, 0, 0, 0, 3, 201 },
	{ "no id", &panel_pterodactyl, "users",
		LIST("{\"attributes\":{\"id\":null}},{\"attributes\":{\"id\":2}}") META("1", "2") "}", 1, 2, 1, 0, 0, 1,
		2 },
	{ "id 0, below, a list, a real", &panel_pterodactyl, "users",
		LIST("{\"attributes\":{\"id\":0}},{\"attributes\":{\"id\":-4}},{\"attributes\":{\"id\":[]}},{"
		     "\"attributes\":{\"id\":1.5}}") META("1", "4") "}",
		0, 4, 4, 0, 0, 1, 4 },
	{ "null_resource", &panel_pterodactyl, "users",
		LIST("{\"object\":\"null_resource\",\"attributes\":null}") META("1", "1") "}", 0, 1, 1, 0, 0, 1, 1 },
	{ "no meta", &panel_pterodactyl, "users", LIST("") "}", -1, 0, 0, 0, 0, 0, 0 },
	{ "no data", &panel_pterodactyl, "users", "{}", -1, 0, 0, 0, 0, 0, 0 },
	{ "an array", &panel_pterodactyl, "users", "[]", -1, 0, 0, 0, 0, 0, 0 },
	{ "cut off", &panel_pterodactyl, "users", "{\"object\":\"list\",\"da", -1, 0, 0, 0, 0, 0, 0 },
	{ "a page for people", &panel_pterodactyl, "users", "<html>", -1, 0, 0, 0, 0, 0, 0 },
	{ "empty", &panel_pterodactyl, "users", "", -1, 0, 0, 0, 0, 0, 0 },
	{ "far too many pages", &panel_pterodactyl, "users", LIST("") META("99999999999", "0") "}", -1, 0, 0, 0, 0, 0,
		0 },
	{ "more than can be added up", &panel_pterodactyl, "users", LIST("") META("1", "9223372036854775807") "}", -1,
		0, 0, 0, 0, 0, 0 },
	{ "unpaged", &panel_pterodactyl, "nest eggs",
		LIST("{\"attributes\":{\"id\":1}},{\"attributes\":{\"id\":2}}") "}", 2, 2, 0, 0, 0, 1, 2 },
	{ "with databases", &panel_pterodactyl, "servers",
		LIST(SERVER(RELATED("\"databases\":{\"object\":\"list\",\"data\":[" DATABASE "]}"))) META("1", "1") "}",
		2, 1, 0, 0, 0, 1, 1 },
	{ "databases that may not be read", &panel_pterodactyl, "servers",
		LIST(SERVER(RELATED("\"databases\":{\"object\":\"null_resource\",\"attributes\":null}")))
			META("1", "1") "}",
		1, 1, 0, 0, BIT(PANEL_DATABASE), 1, 1 },
	{ "databases unknown", &panel_pterodactyl, "servers", LIST(SERVER("\"x\":1")) META("1", "1") "}", 1, 1, 0,
		BIT(PANEL_DATABASE), 0, 1, 1 },
	{ "databases that are something else", &panel_pterodactyl, "servers",
		LIST(SERVER(RELATED("\"databases\":5"))) META("1", "1") "}", 1, 1, 1, 0, 0, 1, 1 },
	{ "pelican's eggs have pages", &panel_pelican, "eggs", LIST("{\"attributes\":{\"id\":1}}") META("2", "60") "}",
		1, 1, 0, 0, 0, 2, 60 },
	{ "virtfusion", &panel_virtfusion, "servers",
		"{\"current_page\":1,\"data\":[{\"id\":69,\"owner\":1,\"hypervisorId\":2}],\"last_page\":4,\"total\":"
		"80}",
		1, 1, 0, 0, 0, 4, 80 },
	{ "virtfusion has more than can be added up", &panel_virtfusion, "servers",
		"{\"data\":[],\"last_page\":1,\"total\":9223372036854775807}", -1, 0, 0, 0, 0, 0, 0 },
	{ "virtfusion's errors", &panel_virtfusion, "servers", "{\"msg\":\"no\"}", -1, 0, 0, 0, 0, 0, 0 },
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(readings); i++) {
		const struct reading *r = &readings[i];
		struct panel_page page = { .n = 0 };
		struct err e = { 0 };
		const int rc = panel_read(list_of(r->driver, r->list), 0, r->json, strlen(r->json), &page, &e);

		if ((rc == 0) != (r->objects >= 0))
			fail_msg("%s: %d %s", r->what, rc, e.msg);
		if (rc != 0)
			assert_string_not_equal(e.msg, "");
		if (rc == 0 && ((int)page.n != r->objects || page.listed != r->listed || page.failed != r->failed ||
				       page.missing != r->missing || page.denied != r->denied ||
				       page.pages != r->pages || page.total != r->total))
			fail_msg("%s: %zu of %zu, %zu failed, missing %x denied %x, %lld pages of %lld", r->what,
				page.n, page.listed, page.failed, page.missing, page.denied, (long long)page.pages,
				(long long)page.total);
		panel_page_fini(&page);
	}
}

static void test_a_server(void **state)
{
	static const char json[] =
		LIST("{\"attributes\":{\"id\":7,\"uuid\":\"u-7\",\"name\":\"lobby\",\"node\":2,\"user\":3,"
		     "\"suspended\":true,"
		     "\"container\":{\"image\":\"i\",\"installed\":1,\"environment\":{\"PASSWORD\":\"secret\"}},"
		     "\"relationships\":{\"allocations\":{\"data\":[{\"attributes\":{\"id\":41}},{\"attributes\":{"
		     "\"id\":42}}]},"
		     "\"databases\":{\"data\":[" DATABASE "]}}}}") META("1", "1") "}";
	struct panel_page page = { .n = 0 };
	struct err e = { 0 };
	char *text;

	(void)state;
	assert_int_equal(panel_read(list_of(&panel_pterodactyl, "servers"), 0, json, strlen(json), &page, &e), 0);
	assert_int_equal(page.n, 2);
	assert_int_equal(page.all[0].kind, PANEL_SERVER);
	assert_string_equal(page.all[0].uuid, "u-7");
	assert_string_equal(page.all[0].name, "lobby");
	assert_int_equal(page.all[0].parent_id, 2);
	assert_int_equal(page.all[0].owner_id, 3);
	assert_false(page.all[0].active);
	text = json_dumps(page.all[0].body, 0);
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(text, "\"allocation_ids\": [41, 42]"));
	free(text);
	assert_int_equal(page.all[1].kind, PANEL_DATABASE);
	assert_int_equal(page.all[1].parent_id, 7);
	panel_page_fini(&page);
}

static void test_long_texts_are_cut_between_characters(void **state)
{
	static const struct pick table[] = { { .name = "t", .type = PICK_TEXT } };
	char text[PICK_TEXT_MAX + 200];
	json_t *from, *out;
	const char *s;
	char name[8];

	(void)state;
	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = i % 2 == 0 ? '\xc3' : '\xa4';
	text[sizeof text - 2] = '\0';
	from = json_pack("{s:s}", "t", text + 0);
	assert_non_null(from);
	out = pick(from, table, 1);
	s = json_string_value(json_object_get(out, "t"));
	assert_int_equal(strlen(s), PICK_TEXT_MAX);
	pick_text(name, sizeof name, from, "t");
	assert_int_equal(strlen(name), 6);
	assert_true(str_is_utf8(name, 6));
	json_decref(out);
	json_decref(from);
}

/* ---- the rate ---------------------------------------------------------------------------------------------------------- */

/* Several at once, each as long on its way as it likes, and counted by the panel at any moment of that. */
static void test_no_window_sees_more(void **state)
{
	enum { LIMIT = 7, WINDOW = 1000, SPAN = 60000, AT_ONCE = 4 };
	uint64_t counted[SPAN / WINDOW * LIMIT + LIMIT], until[AT_ONCE] = { 0 };
	size_t n = 0;
	struct rate *r;
	struct err e;

	(void)state;
	assert_int_equal(rate_new(&r, LIMIT, WINDOW, &e), 0);
	for (uint64_t now = 1; now < SPAN; now++)
		for (size_t i = 0; i < AT_ONCE; i++) {
			if (until[i] == now)
				rate_done(r, now);
			if (until[i] > now || rate_take(r, now) != 0)
				continue;
			until[i] = now + 1 + rand_below(300);
			counted[n++] = now + rand_below(until[i] - now + 1);
		}
	assert_true(n > SPAN / WINDOW * LIMIT / 2);
	for (size_t i = 0; i < n; i++) {
		size_t in = 0;

		for (size_t k = 0; k < n; k++)
			in += counted[k] >= counted[i] && counted[k] < counted[i] + WINDOW;
		assert_true(in <= LIMIT);
	}
	rate_free(r);
}

static void test_waiting_is_enough(void **state)
{
	struct rate *r;
	struct err e;
	uint64_t now = 100, wait;

	(void)state;
	assert_int_equal(rate_new(&r, 3, 1000, &e), 0);
	for (int i = 0; i < 30; i++) {
		if ((wait = rate_take(r, now)) > 0) {
			now += wait;
			assert_int_equal(rate_take(r, now), 0);
		}
		rate_done(r, now);
	}
	assert_true(now > 9000 && now < 9200);
	rate_free(r);
}

static void test_those_on_their_way_count(void **state)
{
	struct rate *r;
	struct err e;

	(void)state;
	assert_int_equal(rate_new(&r, 2, 1000, &e), 0);
	assert_int_equal(rate_take(r, 0), 0);
	assert_int_equal(rate_take(r, 0), 0);
	assert_true(rate_take(r, 5000) > 0); /* nobody knows whether they were counted */
	rate_done(r, 5000);
	assert_true(rate_take(r, 5999) > 0);
	assert_int_equal(rate_take(r, 6001), 0);
	rate_free(r);
}

static void test_what_the_panel_says(void **state)
{
	struct rate_state s;
	struct rate *r;
	struct err e;

	(void)state;
	assert_int_equal(rate_new(&r, 100, 1000, &e), 0);
	rate_heard(r, 0, 2, 1);
	assert_int_equal(rate_take(r, 0), 0);
	assert_int_equal(rate_take(r, 0), 0);
	assert_true(rate_take(r, 0) > 0);
	rate_done(r, 0);
	rate_done(r, 0);
	rate_state(r, 0, &s);
	assert_int_equal(s.limit, 2);
	assert_int_equal(s.used, 2);
	rate_heard(r, 5000, 200, 150); /* more than ours: ours counts */
	rate_state(r, 5000, &s);
	assert_int_equal(s.limit, 100);
	rate_heard(r, 5000, 200, 0); /* used up, by others */
	assert_true(rate_take(r, 5000) > 0);
	rate_hold(r, 6000, 3000);
	assert_int_equal(rate_take(r, 6000), 3000);
	rate_hold(r, 6000, 10); /* the longer one holds */
	assert_int_equal(rate_take(r, 6000), 3000);
	assert_int_equal(rate_take(r, 9000), 0);
	rate_set(r, 0, 1000); /* lifted: only 429 holds it */
	rate_heard(r, 9000, 1, 0);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(rate_take(r, 9000), 0);
	rate_free(r);
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} cases[] = {
		{ "0", 0 },
		{ "7", 7000 },
		{ "99999999999999", 600000 },
		{ "-1", 0 },
		{ "1.5", 0 },
		{ "", 0 },
		{ "soon", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 37000 },
		{ "Sun, 06 Nov 1994 08:48:00 GMT", 0 },
		{ "Sun, 06 Nov 1994 23:49:37 GMT", 600000 },
		{ "Sun, 06 Nov 1994 08:49:37 CET", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT or so", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (panel_call_retry_after(cases[i].text, INT64_C(784111740000)) != cases[i].want)
			fail_msg("'%s': %llu", cases[i].text,
				(unsigned long long)panel_call_retry_after(cases[i].text, INT64_C(784111740000)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_a_server),
		cmocka_unit_test(test_long_texts_are_cut_between_characters),
		cmocka_unit_test(test_no_window_sees_more),
		cmocka_unit_test(test_waiting_is_enough),
		cmocka_unit_test(test_those_on_their_way_count),
		cmocka_unit_test(test_what_the_panel_says),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
