/* Why no backend answers: each reason has a word of its own, and what strangers are told names nothing of the inside. */
#include "relayd/http/trouble.h"

#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_words(void **state)
{
	(void)state;
	assert_string_equal(trouble_of(HTTP_TROUBLE_none)->word, "");
	assert_string_equal(trouble_of(HTTP_TROUBLE_none)->told, "");
	assert_string_equal(trouble_of(HTTP_TROUBLE_agent_shut)->word, "agent_shut");
	assert_int_equal(trouble_of(HTTP_TROUBLE_agent_shut)->meter, METER_refused_destination);
	assert_int_equal(trouble_of(HTTP_TROUBLE_ended)->meter, -1);
	for (int i = HTTP_TROUBLE_none + 1; i < HTTP_TROUBLES_N; i++)
		for (int j = i + 1; j < HTTP_TROUBLES_N; j++)
			assert_string_not_equal(
				trouble_of((enum http_trouble)i)->word, trouble_of((enum http_trouble)j)->word);
}

static void test_told(void **state)
{
	static const char *const inside[] = { "backend", "pool", "agent", "client", "relay", "port", "config" };

	(void)state;
	for (int i = HTTP_TROUBLE_none + 1; i < HTTP_TROUBLES_N; i++) {
		const struct trouble *t = trouble_of((enum http_trouble)i);

		assert_true(t->status >= 501 && t->status <= 504);
		assert_true(t->exact[0] != '\0' && t->told[0] != '\0');
		assert_null(strpbrk(t->told, "0123456789:<>&\"\\")); /* it goes into HTML and JSON as it is */
		for (size_t k = 0; k < ARRAY_LEN(inside); k++)
			assert_null(strstr(t->told, inside[k]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
