/* follow: what controld says of the relays. */
#include "client/agent/relay/follow.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int read_text(const char *text, struct follow_list *out, json_t **keep)
{
	*keep = json_loads(text, 0, NULL);
	assert_non_null(*keep);
	return follow_read(*keep, out);
}

static void test_lists(void **state)
{
	static const char text[] = "{\"items\":[{\"address\":\"a.example:1\"},{\"address\":\"[::1]:2\"},"
				   "{\"address\":\"a.example:1\"}],\"nodes\":[\"nod_1\",7]}";
	struct follow_list list;
	json_t *keep;

	(void)state;
	assert_int_equal(read_text(text, &list, &keep), 0);
	assert_string_equal(list.relays, "a.example:1,[::1]:2");
	assert_true(follow_has_relay(&list, "[::1]:2"));
	assert_false(follow_has_relay(&list, "example:1"));
	assert_false(follow_has_relay(&list, "a.example:"));
	assert_true(follow_has_node(&list, "nod_1"));
	assert_false(follow_has_node(&list, "nod_"));
	assert_false(follow_has_node(&list, ""));
	json_decref(keep);
}

static void test_what_is_no_list(void **state)
{
	static const char *const bad[] = { "{}", "[]", "{\"items\":[]}", "{\"items\":{\"address\":\"a:1\"}}",
		"{\"items\":[{\"address\":5}]}", "{\"items\":[{\"address\":\"a\"}]}",
		"{\"items\":[{\"address\":\"a:1,b:2\"}]}", "{\"items\":[{\"address\":\"\"}]}", "{\"items\":[null]}" };
	struct follow_list list;
	json_t *keep;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (read_text(bad[i], &list, &keep) != -1)
			fail_msg("%s", bad[i]);
		json_decref(keep);
	}
	assert_int_equal(follow_read(NULL, &list), -1);
}

static void test_no_more_than_an_agent_takes(void **state)
{
	json_t *items = json_array(), *answer = json_pack("{s:o}", "items", items);
	struct follow_list list;
	struct err e;

	(void)state;
	for (int i = 1; i <= SETTINGS_RELAYS_MAX + 5; i++)
		json_array_append_new(items, json_pack("{s:o}", "address", json_sprintf("r%d.example:7500", i)));
	assert_int_equal(follow_read(answer, &list), 0);
	assert_int_equal(settings_each_relay(list.relays, NULL, NULL, &e), 0);
	assert_true(follow_has_relay(&list, "r32.example:7500"));
	assert_false(follow_has_relay(&list, "r33.example:7500"));
	json_decref(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_what_is_no_list),
		cmocka_unit_test(test_no_more_than_an_agent_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
