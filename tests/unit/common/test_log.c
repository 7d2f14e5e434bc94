/* log: one event, one line, whatever the values hold. */
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/str.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_fds[2];
static char line[8192];

static int set_up(void **state)
{
	(void)state;
	return pipe(pipe_fds);
}

static int tear_down(void **state)
{
	(void)state;
	close(pipe_fds[0]);
	return close(pipe_fds[1]);
}

static void begin(const char *program, enum log_format format)
{
	log_init(program, LOG_LEVEL_DEBUG, format, pipe_fds[1]);
}

/* The line that was written, without its time. */
static const char *written(void)
{
	ssize_t n = read(pipe_fds[0], line, sizeof line - 1);

	assert_true(n > 0);
	line[n] = '\0';
	return line;
}

static const char *text_tail(void)
{
	const char *s = written();

	assert_true(strlen(s) > 25 && s[10] == 'T' && s[23] == 'Z' && s[24] == ' ');
	return s + 25;
}

static const char *json_tail(void)
{
	const char *s = written();

	assert_true(str_starts(s, "{\"time\":\""));
	return strchr(s, ',') + 1;
}

static void test_values(void **state)
{
	static const struct {
		const char *what, *value, *text, *json;
	} cases[] = {
		{ "plain", "edge-1", "edge-1", "edge-1" },
		{ "address", "[::1]:80", "[::1]:80", "[::1]:80" },
		{ "empty", "", "\"\"", "" },
		{ "blank", "a b", "\"a b\"", "a b" },
		{ "quote", "a\"b", "\"a\\\"b\"", "a\\\"b" },
		{ "backslash", "a\\b", "\"a\\\\b\"", "a\\\\b" },
		{ "equals", "a=b", "\"a=b\"", "a=b" },
		{ "forged line", "x\n2026-11-22T10:00:00.000Z error forged",
			"\"x\\x0a2026-11-22T10:00:00.000Z error forged\"",
			"x\\u000a2026-11-22T10:00:00.000Z error forged" },
		{ "escape sequence", "\x1b[31m", "\"\\x1b[31m\"", "\\u001b[31m" },
		{ "DEL", "\x7f", "\"\\x7f\"", "\\u007f" },
		{ "UTF-8", "caf\xc3\xa9", "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "Latin-1", "caf\xe9", "\"caf\\xe9\"", "caf\\u00e9" },
		{ "cut UTF-8", "a\xe2\x82", "\"a\\xe2\\x82\"", "a\\u00e2\\u0082" },
		{ "overlong", "\xc0\x8a", "\"\\xc0\\x8a\"", "\\u00c0\\u008a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char want[256];

		begin(NULL, LOG_FORMAT_TEXT);
		log_info("ev", log_s("k", cases[i].value));
		str_fmt(want, sizeof want, "info ev k=%s\n", cases[i].text);
		if (strcmp(text_tail(), want) != 0)
			fail_msg("%s: %s", cases[i].what, line);
		begin(NULL, LOG_FORMAT_JSON);
		log_info("ev", log_s("k", cases[i].value));
		str_fmt(want, sizeof want, "\"level\":\"info\",\"event\":\"ev\",\"k\":\"%s\"}\n", cases[i].json);
		if (strcmp(json_tail(), want) != 0)
			fail_msg("%s: %s", cases[i].what, line);
	}
}

static void test_types(void **state)
{
	const struct err e = { .msg = "no such file" };

	(void)state;
	begin("prog", LOG_FORMAT_TEXT);
	log_warn("ev", log_i("i", INT64_MIN), log_u("u", UINT64_MAX), log_d("d", 0.25), log_s("none", NULL),
		log_errno(ENOENT), log_err(&e));
	assert_string_equal(text_tail(),
		"warn ev prog=prog i=-9223372036854775808 u=18446744073709551615 d=0.25 none=- "
		"errno=\"No such file or directory\" err=\"no such file\"\n");
	begin("prog", LOG_FORMAT_JSON);
	log_error("ev", log_i("i", -1), log_u("u", 2), log_d("d", 0.25), log_d("nan", NAN), log_s("none", NULL));
	assert_string_equal(json_tail(),
		"\"level\":\"error\",\"event\":\"ev\",\"prog\":\"prog\",\"i\":-1,\"u\":2,\"d\":0.25,"
		"\"nan\":null,\"none\":null}\n");
	begin(NULL, LOG_FORMAT_TEXT);
	log_debug("alone");
	assert_string_equal(text_tail(), "debug alone\n");
}

static void test_levels(void **state)
{
	(void)state;
	begin(NULL, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_WARN);
	assert_false(log_enabled(LOG_LEVEL_INFO));
	log_info("hidden");
	log_warn("shown");
	assert_string_equal(text_tail(), "warn shown\n");
}

/* Whatever the length and the kind of bytes, a line ends well and says when it was cut; what follows is cut too. */
static void test_long_values_are_cut(void **state)
{
	static const char *const units[] = { "a", " ", "\"", "\n", "\xff", "\xe2\x82\xac" };
	static char value[5000];

	(void)state;
	for (size_t u = 0; u < ARRAY_LEN(units); u++) {
		for (size_t n = 600; n < sizeof value; n++) {
			const char *s;
			size_t len;

			memset(value, 0, sizeof value);
			for (size_t at = 0; at + strlen(units[u]) < n; at += strlen(units[u]))
				memcpy(value + at, units[u], strlen(units[u]));
			begin("p", u % 2 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON);
			log_info("ev", log_s("first", value), log_s("second", value));
			s = written();
			len = strlen(s);
			assert_true(len <= 4096);
			assert_true(strchr(s, '\n') == s + len - 1);
			assert_true(str_is_utf8(s, len));
			assert_true(strstr(s, "cut") != NULL || strstr(s, "second") != NULL);
			assert_true(n < 4000 || len > 4000); /* used to the end before anything is cut */
			if (u % 2 == 0)
				assert_true(s[len - 2] == '}');
		}
	}
}

static void test_many_fields_are_cut(void **state)
{
	struct log_field fields[600];
	const char *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		fields[i] = i % 3 == 0 ? log_s("key", "x") : i % 3 == 1 ? log_u("key", i) : log_d("key", 1e-9);
	begin("p", LOG_FORMAT_JSON);
	log_write(LOG_LEVEL_INFO, "ev", fields, ARRAY_LEN(fields));
	s = written();
	assert_true(strlen(s) <= 4096);
	assert_non_null(strstr(s, ",\"cut\":true}\n"));
}

static void test_errno_is_kept(void **state)
{
	(void)state;
	log_init(NULL, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, -1);
	errno = ENOTTY;
	log_info("nowhere");
	assert_int_equal(errno, ENOTTY);
}

#define LINES 500

static void *work_log(void *arg)
{
	(void)arg;
	for (int i = 0; i < LINES; i++)
		log_info("thread", log_s("k", "some value with blanks"), log_i("i", 7));
	return NULL;
}

static void test_threads_do_not_mix_lines(void **state)
{
	static const char want[] = " info thread k=\"some value with blanks\" i=7\n";
	pthread_t threads[3];
	FILE *in = fdopen(dup(pipe_fds[0]), "r");

	(void)state;
	assert_non_null(in);
	begin(NULL, LOG_FORMAT_TEXT);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_log, NULL), 0);
	for (size_t i = 0; i < LINES * ARRAY_LEN(threads); i++) {
		assert_non_null(fgets(line, sizeof line, in));
		assert_string_equal(line + 24, want);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	fclose(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_types, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_values_are_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_fields_are_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errno_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads_do_not_mix_lines, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
