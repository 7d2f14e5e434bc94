/* Logins on the disk: what is written comes back, what others can read or what is damaged does not. */
#include "client/api/profile.h"
#include "client/api/session.h"
#include "common/base/err.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/portway-profile-XXXXXX";

static void path_of(char *dst, size_t size, const char *name)
{
	(void)snprintf(dst, size, "%s/portway/%s", folder, name);
}

static struct profile sample(void)
{
	struct profile p = { .name = "work",
		.url = "https://c.example",
		.email = "a@b.de",
		.access = "a.b.c",
		.refresh = "r",
		.expires_ms = 1800000000000 };

	return p;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[200];
	int fd;

	path_of(path, sizeof path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void test_round_trip(void **state)
{
	struct profile p = sample(), q;
	char path[200];
	struct stat st;
	struct err e;

	(void)state;
	assert_int_equal(profile_save(&p, &e), 0);
	path_of(path, sizeof path, "work.json");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(profile_load(&q, "work", &e), 0);
	assert_string_equal(q.url, p.url);
	assert_string_equal(q.access, p.access);
	assert_string_equal(q.refresh, p.refresh);
	assert_true(q.expires_ms == p.expires_ms);
	assert_int_equal(profile_remove("work", &e), 0);
	assert_int_equal(profile_remove("work", &e), 0);
	assert_int_equal(profile_load(&q, "work", &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void test_what_is_refused(void **state)
{
	char *big = calloc(1, 70000);
	struct profile q;
	struct err e;

	(void)state;
	write_file("open.json", "{}", 0640);
	assert_int_equal(profile_load(&q, "open", &e), -1);
	assert_int_equal(e.code, ERR_PERMISSION);
	write_file("bad.json", "{\"url\":", 0600);
	assert_int_equal(profile_load(&q, "bad", &e), -1);
	write_file("list.json", "[]", 0600);
	assert_int_equal(profile_load(&q, "list", &e), -1);
	(void)snprintf(big, 70000, "{\"access_token\":\"%060000d\"}", 0);
	write_file("big.json", big, 0600);
	assert_int_equal(profile_load(&q, "big", &e), -1);
	free(big);
}

static void test_names(void **state)
{
	static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "../x", "a b", "a\n",
		"123456789012345678901234567890123" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (profile_check_name(bad[i], NULL) == 0)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(profile_check_name("work-2.eu", NULL), 0);
}

static void test_who_asks(void **state)
{
	struct profile p = sample();
	char header[SESSION_HEADER_SIZE];
	struct session s;
	struct err e;

	(void)state;
	assert_int_equal(profile_save(&p, &e), 0);
	assert_int_equal(session_init(&s, "work", false, &e), 0);
	session_bind(&s, p.url);
	assert_int_equal(session_header(&s, header), 0);
	assert_string_equal(header, "Authorization: Bearer a.b.c");
	assert_true(session_is_stale(&s, p.expires_ms));
	assert_false(session_is_stale(&s, p.expires_ms - 60000));
	session_bind(&s, "https://other.example");
	assert_int_equal(session_header(&s, header), 0);
	assert_string_equal(header, "");

	(void)setenv("PORTWAY_API_KEY", "k", 1);
	assert_int_equal(session_init(&s, "work", false, &e), 0);
	assert_int_equal(session_header(&s, header), 0);
	assert_string_equal(header, "X-API-Key: k");
	(void)setenv("PORTWAY_TOKEN", "t", 1);
	assert_int_equal(session_init(&s, "work", false, &e), 0);
	assert_int_equal(session_header(&s, header), 0);
	assert_string_equal(header, "Authorization: Bearer t");
	assert_int_equal(session_init(&s, "work", true, &e), 0);
	assert_int_equal(s.kind, SESSION_PROFILE);
	(void)setenv("PORTWAY_TOKEN", "t\r\nX: y", 1);
	assert_int_equal(session_init(&s, "work", false, &e), 0);
	assert_int_equal(session_header(&s, header), -1);
	(void)unsetenv("PORTWAY_TOKEN");
	(void)unsetenv("PORTWAY_API_KEY");
}

static void test_grants(void **state)
{
	static const char *const bad[] = { "{}", "{\"token\":\"a\"}", "{\"token\":\"a\",\"refresh_token\":\"b\"}",
		"{\"token\":\"a\",\"refresh_token\":\"b\",\"expires_in\":-1}", "[]" };
	struct session s = { .kind = SESSION_PROFILE };
	json_t *good = json_loads("{\"token\":\"a\",\"refresh_token\":\"b\",\"expires_in\":60}", 0, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *v = json_loads(bad[i], 0, NULL);

		if (session_take(&s, v, 0, NULL) == 0)
			fail_msg("%s was taken", bad[i]);
		json_decref(v);
	}
	assert_int_equal(session_take(&s, good, 1000, NULL), 0);
	assert_true(s.profile.expires_ms == 61000);
	json_decref(good);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_who_asks),
		cmocka_unit_test(test_grants),
	};
	char command[PATH_MAX];
	int rc;

	if (mkdtemp(folder) == NULL)
		return 1;
	(void)setenv("XDG_CONFIG_HOME", folder, 1);
	(void)snprintf(command, sizeof command, "%s/portway", folder);
	(void)mkdir(command, 0700);
	(void)unsetenv("PORTWAY_TOKEN");
	(void)unsetenv("PORTWAY_API_KEY");
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command) == 0 ? rc : 1;
}
