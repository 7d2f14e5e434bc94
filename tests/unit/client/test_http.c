#include "client/api/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	const char *url;
	bool local;
} cases[] = {
	{ "http://127.0.0.1:8080/x", true },
	{ "http://127.1.2.3", true },
	{ "https://localhost/", true },
	{ "http://[::1]:8080", true },
	{ "http://127.0.0.1.example.com", false },
	{ "http://127.example.com", false },
	{ "http://localhost.example.com", false },
	{ "http://10.0.0.1/127.0.0.1", false },
	{ "http://[::2]", false },
	{ "http://[", false },
	{ "127.0.0.1", false },
	{ "", false },
};

static void test_local(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (http_is_local(cases[i].url) != cases[i].local)
			fail_msg("%s", cases[i].url);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
