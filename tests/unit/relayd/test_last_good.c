#include "relayd/conf/last_good.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "relayd/conf/snapshot.h"
#include "tests/unit/relayd/updates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t key[SEAL_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static char dir[64], path[128];

static int make_dir(void **state)
{
	(void)state;
	str_copy(dir, sizeof dir, "/tmp/portway-good-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	return str_fmt(path, sizeof path, "%s/snapshot.sealed", dir);
}

static int drop_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static struct snapshot *make_snapshot(void)
{
	static const struct update_line lines[] = { PUT_PORT("map_a", 7, 81), UNKNOWN("map_b", 8), BAD_BODY("map_c", 9),
		PUT("map_d", 9), NO_MORE };
	struct msg_update head = { .kind = UPDATE_SNAPSHOT, .to = revision_of(3, 9) }, m;
	struct snapshot *empty, *out = NULL;
	struct snapshot_stage *stage = NULL;
	struct buf b;

	assert_int_equal(snapshot_new(&empty, NULL), 0);
	update_make(&b, &m, &head, lines);
	assert_int_equal(snapshot_stage_add(&stage, empty, &m, NULL), 0);
	assert_int_equal(snapshot_stage_finish(&out, &stage, NULL), 0);
	snapshot_unref(empty);
	buf_free(&b);
	return out;
}

static void what_was_written_is_read(void **state)
{
	struct snapshot *s = make_snapshot(), *again = NULL;
	struct snapshot_walk wa = { 0 }, wb = { 0 };
	const struct object *a;
	int64_t confirmed_ms = 0;
	struct stat st;

	(void)state;
	assert_int_equal(last_good_write(path, key, s, 1234567, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(last_good_read(path, key, &again, &confirmed_ms, NULL), 0);
	assert_int_equal(confirmed_ms, 1234567);
	assert_memory_equal(&again->revision, &s->revision, sizeof s->revision);
	assert_int_equal(again->n, 4);
	while ((a = snapshot_next(s, &wa)) != NULL) {
		const struct object *b = snapshot_next(again, &wb);

		assert_string_equal(b->id, a->id);
		assert_int_equal(b->kind, a->kind);
		assert_int_equal(b->wire_kind, a->wire_kind);
		assert_int_equal(b->seq, a->seq);
		assert_int_equal(b->body_n, a->body_n);
		assert_memory_equal(b->body, a->body, a->body_n);
	}
	assert_int_equal(snapshot_find(again, "map_a")->mapping.port_first, 81);
	assert_non_null(snapshot_find(again, "map_b")->fault);
	snapshot_unref(s);
	snapshot_unref(again);
}

static void none_and_damaged_ones_are_told_apart(void **state)
{
	struct snapshot *s = make_snapshot(), *again = NULL;
	uint8_t other[SEAL_KEY_SIZE], *bytes;
	int64_t confirmed_ms;
	struct err e = { .code = ERR_NONE };
	size_t n;

	(void)state;
	memcpy(other, key, sizeof other);
	other[3] ^= 1;
	assert_int_equal(last_good_read(path, key, &again, &confirmed_ms, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(last_good_write(path, key, s, 1, NULL), 0);
	assert_int_equal(last_good_read(path, other, &again, &confirmed_ms, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	assert_int_equal(file_read(path, 1 << 20, &bytes, &n, NULL), 0);
	for (size_t cut = 0; cut < n; cut += 7) { /* cut anywhere, it is refused, never believed */
		assert_int_equal(file_write_atomic(path, bytes, cut, 0600, NULL), 0);
		assert_int_equal(last_good_read(path, key, &again, &confirmed_ms, &e), -1);
	}
	free(bytes);
	assert_null(again);
	snapshot_unref(s);
}

static void bytes_that_are_no_snapshot(void **state)
{
	struct snapshot *s = make_snapshot(), *again = NULL;
	int64_t confirmed_ms;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	last_good_encode(&b, s, 5);
	assert_int_equal(last_good_decode(b.data, b.len, &again, &confirmed_ms, NULL), 0);
	snapshot_unref(again);
	again = NULL;
	for (size_t cut = 0; cut < b.len; cut++)
		assert_int_equal(last_good_decode(b.data, cut, &again, &confirmed_ms, NULL), -1);
	buf_u8(&b, 0);
	assert_int_equal(last_good_decode(b.data, b.len, &again, &confirmed_ms, NULL), -1);
	b.data[0] ^= 1;
	assert_int_equal(last_good_decode(b.data, b.len - 1, &again, &confirmed_ms, NULL), -1);
	buf_free(&b);
	snapshot_unref(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read),
		TEST(none_and_damaged_ones_are_told_apart),
		TEST(bytes_that_are_no_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
