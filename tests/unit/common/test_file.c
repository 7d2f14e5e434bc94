/* file: whole files in, whole files out, folders. */
#define _GNU_SOURCE /* nftw */
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <dirent.h>
#include <ftw.h>
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

struct fixture {
	char dir[64];
	char path[128];
	struct err e;
};

static int set_up(void **state)
{
	static struct fixture f;

	str_copy(f.dir, sizeof f.dir, "/tmp/test_file-XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	str_fmt(f.path, sizeof f.path, "%s/file", f.dir);
	*state = &f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	return nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static size_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

static void test_write_and_read(void **state)
{
	static uint8_t big[100000];
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 8192, sizeof big };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint8_t *in;
		size_t n;

		assert_int_equal(file_write_atomic(f->path, big, sizes[i], 0640, &f->e), 0);
		assert_int_equal(file_read(f->path, sizes[i], &in, &n, &f->e), 0);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(in, big, n);
		assert_int_equal(in[n], 0);
		free(in);
	}
	assert_int_equal(entries(f->dir), 1);
}

static void test_mode_is_exact(void **state)
{
	struct fixture *f = *state;
	mode_t was = umask(077);
	struct stat st;

	assert_int_equal(file_write_atomic(f->path, "x", 1, 0644, &f->e), 0);
	umask(was);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(file_write_atomic(f->path, "x", 1, 0600, &f->e), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_read_errors(void **state)
{
	struct fixture *f = *state;
	uint8_t *in = NULL;
	size_t n;

	assert_int_equal(file_read(f->path, 10, &in, &n, &f->e), -1);
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
	assert_non_null(strstr(f->e.msg, f->path));
	assert_int_equal(file_read(f->dir, 10, &in, &n, &f->e), -1);
	assert_int_equal(f->e.code, ERR_IO);
	assert_int_equal(file_write_atomic(f->path, "12345678901", 11, 0600, &f->e), 0);
	assert_int_equal(file_read(f->path, 10, &in, &n, &f->e), -1);
	assert_int_equal(f->e.code, ERR_TOO_LARGE);
	assert_null(in);
}

static void test_read_without_size(void **state)
{
	struct fixture *f = *state;
	uint8_t *in;
	size_t n;

	assert_int_equal(file_read("/proc/self/status", 1 << 20, &in, &n, &f->e), 0);
	assert_true(n > 0);
	free(in);
}

static void test_write_errors_leave_the_old_file(void **state)
{
	struct fixture *f = *state;
	char path[200];
	uint8_t *in;
	size_t n;

	str_fmt(path, sizeof path, "%s/no/file", f->dir);
	assert_int_equal(file_write_atomic(path, "x", 1, 0600, &f->e), -1);
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
	assert_int_equal(file_write_atomic("/dev/full/x", "x", 1, 0600, &f->e), -1);
	/* A folder cannot be replaced by a file: the temporary one must go again. */
	str_fmt(path, sizeof path, "%s/folder", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_write_atomic(path, "x", 1, 0600, &f->e), -1);
	assert_int_equal(entries(f->dir), 1);
	assert_int_equal(file_write_atomic(f->path, "old", 3, 0600, &f->e), 0);
	assert_int_equal(file_read(f->path, 10, &in, &n, &f->e), 0);
	assert_string_equal((char *)in, "old");
	free(in);
}

static void test_mkdirs(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char path[300], below[320];

	str_fmt(path, sizeof path, "%s/a//b/c/", f->dir);
	assert_int_equal(file_mkdirs(path, 0700, &f->e), 0);
	assert_int_equal(file_mkdirs(path, 0700, &f->e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(file_mkdirs("/", 0700, &f->e), 0);
	assert_int_equal(file_mkdirs("", 0700, &f->e), -1);
	assert_int_equal(file_write_atomic(f->path, "x", 1, 0600, &f->e), 0);
	assert_int_equal(file_mkdirs(f->path, 0700, &f->e), -1);
	str_fmt(below, sizeof below, "%s/d", f->path);
	assert_int_equal(file_mkdirs(below, 0700, &f->e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write_and_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mode_is_exact, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_without_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write_errors_leave_the_old_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mkdirs, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
