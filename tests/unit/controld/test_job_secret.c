/* job_secret: what is secret in a job's arguments is in its row sealed, opens for that row alone, and is sealed where it was not. */
#include "controld/jobs/job_secret.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/store/db.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECRET "s3cret-of-the-job"
#define N      250 /* more than one transaction takes */

static const struct schema_field fields[] = {
	{ .name = "name", .type = SCHEMA_STRING },
	{ .name = "token", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET },
	{ .name = "data", .type = SCHEMA_ANY, .flags = SCHEMA_SECRET },
};
static const struct schema args = { "Args", fields, ARRAY_LEN(fields), false };
static const struct job_kind rows[] = { { .name = "secretive", .attempts = 1, .args = &args },
	{ .name = "open", .attempts = 1 } };
static struct kinds kinds;
static struct test_store t;

static int setup(void **state)
{
	(void)state;
	test_store_open(&t);
	kinds = (struct kinds){ .n = 0 };
	kinds_add(&kinds, (struct job_kinds){ rows, ARRAY_LEN(rows), NULL });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

static void split(const char *text, const char *open, const char *secret)
{
	json_t *all = json_loads(text, 0, NULL);
	char *o, *s;
	struct err e;

	TEST_STORE_MUST(job_secret_split(&rows[0], all, &o, &s, &e), e);
	assert_string_equal(o, open);
	assert_int_equal(job_secret_any(&rows[0], all), secret != NULL);
	if (secret == NULL)
		assert_null(s);
	else
		assert_string_equal(s, secret);
	free(o);
	job_secret_free(s);
	json_decref(all);
}

static void members_are_told_apart(void **state)
{
	(void)state;
	split("{}", "{}", NULL);
	split("{\"name\":\"a\"}", "{\"name\":\"a\"}", NULL);
	split("{\"name\":\"a\",\"token\":\"x\"}", "{\"name\":\"a\",\"token\":\"***\"}", "{\"token\":\"x\"}");
	split("{\"data\":{\"a\":[1]},\"token\":\"x\"}", "{\"data\":\"***\",\"token\":\"***\"}",
		"{\"data\":{\"a\":[1]},\"token\":\"x\"}");
}

struct sealing {
	const char *id;
	struct buf *out;
};

static int work_seal(struct db *tx, void *arg, struct err *e)
{
	const struct sealing *s = arg;

	buf_reset(s->out);
	return job_secret_seal(tx, s->id, "{\"token\":\"" SECRET "\"}", s->out, e);
}

static int open_as(const char *id, const struct buf *sealed, json_t *into, struct err *e)
{
	struct db *db;
	int rc;

	TEST_STORE_MUST(store_read_begin(t.store, &db, e), *e);
	rc = job_secret_open(db, id, sealed->data, sealed->len, into, e);
	store_read_end(db);
	return rc;
}

static void it_opens_for_its_own_row(void **state)
{
	json_t *into = json_pack("{s:s, s:s}", "name", "a", "token", "***");
	struct buf sealed;
	struct sealing s = { "job_1", &sealed };
	struct err e = { 0 };

	(void)state;
	buf_init(&sealed, 1000);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_seal, &s, &e), e);
	for (size_t i = 0; i + strlen(SECRET) <= sealed.len; i++)
		assert_memory_not_equal(sealed.data + i, SECRET, strlen(SECRET));
	assert_int_equal(open_as("job_2", &sealed, into, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	assert_string_equal(json_string_value(json_object_get(into, "token")), "***");
	TEST_STORE_MUST(open_as("job_1", &sealed, into, &e), e);
	assert_string_equal(json_string_value(json_object_get(into, "token")), SECRET);
	sealed.data[sealed.len - 1] ^= 1;
	assert_int_equal(open_as("job_1", &sealed, into, &e), -1);
	buf_free(&sealed);
	json_decref(into);
}

static int work_fill(struct db *tx, void *arg, struct err *e)
{
	static const char insert[] =
		"INSERT INTO jobs (id, tenant_id, user_id, actor, request_id, schedule_id, kind, queue, state, "
		"priority, args, "
		"created_ms, due_ms, started_ms, ended_ms, failures, failures_max, crashes, lease, holder, cancel, "
		"total, "
		"done, failed, rate, note, saved, error_code, error, log_next, version) VALUES (?1, '', '', '', '', "
		"'', ?2, "
		"'low', 'queued', 0, ?3, 0, 0, 0, 0, 0, 1, 0, 0, '', 0, 0, 0, 0, 0, '', '', '', '', 1, 1)";
	char id[32];

	(void)arg;
	for (int i = 0; i < N; i++) {
		const char *kind = i % 3 == 0 ? "open" : i % 3 == 1 ? "secretive" : "forgotten";

		(void)str_fmt(id, sizeof id, "job_%03d", i);
		if (db_exec(tx, insert, e, bind_s(id), bind_s(kind),
			    bind_s(i % 3 == 0 ? "{}" : "{\"token\":\"" SECRET "\"}")) < 0)
			return -1;
	}
	return 0;
}

static int64_t count(const char *where)
{
	char text[200];
	struct query *q;
	struct db *db;
	struct err e;
	int64_t n;

	(void)str_fmt(text, sizeof text, "SELECT count(*) FROM jobs WHERE %s", where);
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, text, &e), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

/* Of a database from before: those of kinds that are known are sealed, once; what nobody knows any more stays as it is. */
static void what_was_there_before_is_sealed(void **state)
{
	struct err e = { 0 };

	(void)state;
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_fill, NULL, &e), e);
	for (int again = 0; again < 2; again++) {
		TEST_STORE_MUST(job_secret_adopt(t.store, &kinds, &e), e);
		assert_int_equal(
			count("kind = 'secretive' AND args = '{\"token\":\"***\"}' AND length(sealed) > 0"), N / 3);
		assert_int_equal(count("kind = 'open' AND args = '{}' AND length(sealed) = 0"), N / 3 + 1);
		assert_int_equal(count("kind = 'forgotten' AND sealed IS NULL"), N / 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_told_apart),
		cmocka_unit_test_setup_teardown(it_opens_for_its_own_row, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_there_before_is_sealed, setup, teardown),
	};

	log_init("test", LOG_LEVEL_WARN, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
