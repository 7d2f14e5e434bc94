/* instance: its name stays, its epoch only rises, and only one agent has it. */
#include "client/agent/instance.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64], dir[96];

static int set_up(void **state)
{
	(void)state;
	str_copy(root, sizeof root, "/tmp/instance-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	return str_fmt(dir, sizeof dir, "%s/a/b", root);
}

static int tear_down(void **state)
{
	char cmd[128];

	(void)state;
	str_fmt(cmd, sizeof cmd, "rm -rf %s", root);
	return system(cmd);
}

static void put(const char *name, const char *text)
{
	char path[160];

	str_fmt(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static struct instance opened(const char *name, int64_t now_ms)
{
	struct instance i;
	struct err e;

	if (instance_open(&i, dir, name, now_ms, &e) != 0)
		fail_msg("%s", e.msg);
	instance_close(&i);
	instance_close(&i);
	return i;
}

static void test_stays(void **state)
{
	struct instance first = opened("", 1000), second = opened("", 2000);

	(void)state;
	assert_true(instance_is_name(first.name));
	assert_string_equal(first.name, second.name);
	assert_int_equal(first.epoch, 1000);
	assert_int_equal(second.epoch, 2000);
	assert_string_equal(opened("mine", 3000).name, "mine");
	assert_string_equal(opened("", 4000).name, first.name);
}

/* The clock was set back, or stands still. */
static void test_rises(void **state)
{
	(void)state;
	assert_int_equal(opened("", 5000).epoch, 5000);
	assert_int_equal(opened("", 5000).epoch, 5001);
	assert_int_equal(opened("", 10).epoch, 5002);
	assert_int_equal(opened("", -3).epoch, 5003);
	assert_int_equal(opened("", 9000).epoch, 9000);
}

static void test_spoiled_files(void **state)
{
	struct instance i;

	(void)state;
	opened("", 1);
	put("instance", "not a name!\n");
	put("epoch", "many\n");
	i = opened("", 77);
	assert_true(instance_is_name(i.name));
	assert_int_equal(i.epoch, 77);
	put("instance", "");
	assert_true(instance_is_name(opened("", 78).name));
}

static void test_one_at_a_time(void **state)
{
	struct instance first, second;
	struct err e;

	(void)state;
	assert_int_equal(instance_open(&first, dir, "", 1, &e), 0);
	assert_int_equal(instance_open(&second, dir, "", 2, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	instance_close(&first);
	assert_int_equal(instance_open(&second, dir, "", 2, &e), 0);
	instance_close(&second);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(instance_is_name("web-1.example_x"));
	assert_false(instance_is_name(""));
	assert_false(instance_is_name("a b"));
	assert_false(instance_is_name("0123456789012345678901234567890123456789"));
}

#define with_folder(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_folder(test_stays),
		with_folder(test_rises),
		with_folder(test_spoiled_files),
		with_folder(test_one_at_a_time),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
