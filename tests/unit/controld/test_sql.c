/* Every statement of every noun is good SQL on a migrated database, of either kind. */
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/balancer/balancer.h"
#include "controld/certs/certs.h"
#include "controld/clients/clients.h"
#include "controld/cluster/cluster.h"
#include "controld/device_login/device_login.h"
#include "controld/dynamic.h"
#include "controld/fleet/fleet.h"
#include "controld/identity/service.h"
#include "controld/jobs/jobs.h"
#include "controld/mail/mail.h"
#include "controld/notify/notify.h"
#include "controld/panel/panels.h"
#include "controld/platform/platform.h"
#include "controld/rest/idempotency.h"
#include "controld/store/chain.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"
#include "controld/store/driver_search.h"
#include "controld/store/lease.h"
#include "controld/store/migrate.h"
#include "controld/store/search.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"
#include "controld/store/watch.h"
#include "controld/tunnels/series.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct sql_table *const store_tables[] = { &store_sql, &changes_sql, &chain_sql, &migrate_sql,
	&secrets_sql, &search_sql, &lease_sql, &watch_sql };

static int prepare_table(struct db *db, const struct sql_table *t)
{
	int failed = 0;

	assert_non_null(t->noun);
	assert_true(t->n > 0);
	for (size_t i = 0; i < t->n; i++) {
		struct err e = { 0 };

		if (db_prepare_only(db, t->sql[i], &e) != 0) {
			print_error("%s: %s\n  %s\n", t->noun, e.msg, t->sql[i]);
			failed++;
		}
	}
	return failed;
}

static int prepare_tables(struct db *db, const struct sql_table *const *tables, size_t n)
{
	int failed = 0;

	assert_true(n > 0);
	for (size_t i = 0; i < n; i++)
		failed += prepare_table(db, tables[i]);
	return failed;
}

static void prepare_main(const char *database)
{
	struct test_store t;
	struct err e = { 0 };
	struct db *db;
	int failed;

	setenv("PORTWAY_TEST_DATABASE", database, 1);
	test_store_open(&t);
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	failed = prepare_tables(db, store_tables, ARRAY_LEN(store_tables));
	failed += prepare_table(db, db->driver->search->sql);
	failed += prepare_tables(db, identity_sql, identity_sql_n);
	failed += prepare_table(db, &dynamic_sql);
	failed += prepare_tables(db, jobs_sql, jobs_sql_n);
	failed += prepare_tables(db, notify_sql, notify_sql_n);
	failed += prepare_tables(db, platform_sql, platform_sql_n);
	failed += prepare_tables(db, panels_sql, panels_sql_n);
	failed += prepare_tables(db, mail_sql, mail_sql_n);
	failed += prepare_tables(db, device_login_sql, device_login_sql_n);
	failed += prepare_tables(db, clients_sql, clients_sql_n);
	failed += prepare_tables(db, tunnels_sql, tunnels_sql_n);
	failed += prepare_tables(db, balancer_sql, balancer_sql_n);
	failed += prepare_tables(db, certs_sql, certs_sql_n);
	failed += prepare_tables(db, fleet_sql, fleet_sql_n);
	failed += prepare_tables(db, cluster_sql, cluster_sql_n);
	for (size_t i = 0; i < rest_sql_n; i++)
		failed += prepare_table(db, &rest_sql[i]);
	store_read_end(db);
	test_store_close(&t);
	assert_int_equal(failed, 0);
}

static void prepare_samples(const char *database)
{
	struct test_store t;
	struct store_conf conf = { .url = t.url, .samples = true };
	struct err e = { 0 };
	struct db *db;

	setenv("PORTWAY_TEST_DATABASE", database, 1);
	test_store_folder(&t);
	TEST_STORE_MUST(store_open(&t.store, &conf, &e), e);
	TEST_STORE_MUST(migrate_apply(t.store, &migrations_samples, NULL, &e), e);
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	assert_int_equal(prepare_table(db, &series_samples_sql), 0);
	store_read_end(db);
	test_store_close(&t);
}

static void test_sqlite(void **state)
{
	(void)state;
	prepare_main("sqlite");
	prepare_samples("sqlite");
}

static void test_postgres(void **state)
{
	(void)state;
	prepare_main("postgresql");
	prepare_samples("postgresql");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_postgres),
	};

	log_init("test_sql", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
