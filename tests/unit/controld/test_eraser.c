/* eraser: what a user or tenant that goes leaves behind, in whatever order and however often it runs. */
#include "controld/balancer/balancer.h"
#include "controld/certs/certs.h"
#include "controld/eraser.h"

#include "common/base/log.h"
#include "controld/clients/clients.h"
#include "controld/device_login/device_login.h"
#include "controld/identity/service.h"
#include "controld/jobs/jobs.h"
#include "controld/notify/notify.h"
#include "controld/panel/panels.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;

/* ---- the database by hand ------------------------------------------------------------------------------------------ */
static int work_sql(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static void run_sql(const char *sql)
{
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t)sql, &e), e);
}

static int64_t count(const char *sql)
{
	struct query *q;
	struct err e;
	struct db *db;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql, &e), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

static void add_user(const char *id, const char *tenant, const char *status)
{
	char sql[1024];

	str_fmt(sql, sizeof sql,
		"INSERT INTO users (id, tenant_id, email, email_key, username, username_key, password_hash, "
		"first_name, "
		"last_name, status, system_admin, version, created_ms, updated_ms, last_login_ms) VALUES ('%s', '%s', "
		"'%s', '%s', '%s', '%s', '', '', '', '%s', 0, 1, 0, 100000, 0)",
		id, tenant, id, id, id, id, status);
	run_sql(sql);
	str_fmt(sql, sizeof sql,
		"INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES ('%s', '%s', 'owner', 0)",
		tenant, id);
	run_sql(sql);
	str_fmt(sql, sizeof sql,
		"INSERT INTO sessions (id, tenant_id, user_id, used, address, created_ms, expires_ms) VALUES ('s_%s', "
		"'%s', '%s', 0, '192.0.2.1', 0, 9)",
		id, tenant, id);
	run_sql(sql);
	str_fmt(sql, sizeof sql,
		"INSERT INTO api_keys (id, tenant_id, user_id, name, prefix, hash, role, system_admin, created_ms, "
		"expires_ms) VALUES ('k_%s', '%s', '%s', 'k', 'pw_', 'h_%s', 'viewer', 0, 0, 0)",
		id, tenant, id, id);
	run_sql(sql);
}

/* n mappings with a port each, and their traffic; and as many rows of the log about the user. */
static void add_work(const char *user, const char *tenant, int n)
{
	static int last;
	char sql[2048];

	str_fmt(sql, sizeof sql,
		"WITH RECURSIVE c(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM c WHERE i < %d) INSERT INTO mappings "
		"(id, "
		"tenant_id, user_id, name, description, group_id, group_name, node_id, node_name, active, protocol, "
		"bind_address, source_port, source_port_end, target_host, target_port, dial_any, expires_ms, settings, "
		"version, seq, created_ms, updated_ms) SELECT 'map_' || i, '%s', '%s', 'n', '', 'g', 'g', '', '', 1, "
		"'tcp', '', i, i, 'h', 1, 0, 0, '{}', 1, 1, 0, 0 FROM c",
		last + 1, last + n, tenant, user);
	run_sql(sql);
	str_fmt(sql, sizeof sql,
		"INSERT INTO ports (tenant_id, group_id, protocol, port, address, family, wildcard, mapping_id) SELECT "
		"tenant_id, 'g', 'tcp', source_port, '', 0, 1, id FROM mappings WHERE source_port > %d",
		last);
	run_sql(sql);
	str_fmt(sql, sizeof sql,
		"INSERT INTO changes (seq, tx, time_ms, tenant_id, actor, request_id, kind, op, subject, fields, "
		"object) "
		"SELECT (SELECT coalesce(max(seq), 0) FROM changes) + source_port - %d, source_port, 0, '%s', '%s', "
		"'', "
		"'user', 'update', '%s', 'email', '{\"email\":\"a\"}' FROM mappings WHERE source_port > %d",
		last, tenant, user, user, last);
	run_sql(sql);
	str_fmt(sql, sizeof sql,
		"INSERT INTO traffic (scope, tenant_id, id, user_id, active, bytes_in, bytes_out, packets_in, "
		"packets_out, "
		"opened, closed, refused_limit, refused_source, refused_cidr, refused_proxy, refused_dial, "
		"refused_resource, dropped_in, dropped_out, timed_out, reset, updated_ms) VALUES ('user', '%s', '%s', "
		"'%s', 0, %d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
		tenant, user, user, n);
	run_sql(sql);
	last += n;
}

static void add_tenant(const char *id, const char *status)
{
	char sql[512];

	str_fmt(sql, sizeof sql,
		"INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		"updated_ms) VALUES ('%s', '%s', '%s', '%s', '%s', '[]', 1, 0, 100000)",
		id, id, id, id, status);
	run_sql(sql);
}

static int setup(void **state)
{
	(void)state;
	test_store_open(&t);
	add_tenant("red", "active");
	add_tenant("blue", "active");
	add_user("goes", "red", "active");
	add_user("stays", "red", "active");
	add_user("other", "blue", "active");
	run_sql("INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES ('blue', 'goes', 'viewer', 0), "
		"('red', 'other', 'viewer', 0)");
	add_work("goes", "red", 250);
	add_work("stays", "red", 20);
	add_work("other", "blue", 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

struct owners {
	struct {
		bool tenant;
		char id[40];
		int64_t since_ms;
	} all[16];
	size_t n;
};

static int on_leaving(bool tenant, const char *id, int64_t since_ms, void *arg)
{
	struct owners *o = arg;

	assert_true(o->n < ARRAY_LEN(o->all));
	o->all[o->n].tenant = tenant;
	o->all[o->n].since_ms = since_ms;
	str_copy(o->all[o->n++].id, sizeof o->all[0].id, id);
	return 0;
}

/* What the jobs of all that go do, one after the other. */
static void run(int64_t now_ms)
{
	struct owners owners = { .n = 0 };
	struct err e;

	TEST_STORE_MUST(eraser_leaving(t.store, 10, on_leaving, &owners, &e), e);
	for (size_t i = 0; i < owners.n; i++) {
		const struct erase_owner o = { owners.all[i].tenant, owners.all[i].id, now_ms,
			now_ms - owners.all[i].since_ms >= ERASER_RIPE_MS };

		TEST_STORE_MUST(eraser_erase(t.store, &o, NULL, &e), e);
	}
}

/* Rows that have to do with one user. */
static int64_t rows_of(const char *user)
{
	static const char *const counts[] = {
		"SELECT count(*) FROM mappings WHERE user_id = '%s'",
		"SELECT count(*) FROM ports WHERE mapping_id IN (SELECT id FROM mappings WHERE user_id = '%s')",
		"SELECT count(*) FROM sessions WHERE user_id = '%s'",
		"SELECT count(*) FROM api_keys WHERE user_id = '%s'",
		"SELECT count(*) FROM memberships WHERE user_id = '%s'",
		"SELECT count(*) FROM changes WHERE subject = '%s' AND object IS NOT NULL",
		"SELECT count(*) FROM users WHERE id = '%s'",
	};
	int64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		char *sql = malloc(strlen(counts[i]) + strlen(user) + 1);

		sprintf(sql, counts[i], user);
		n += count(sql);
		free(sql);
	}
	return n;
}

/* ---- cases --------------------------------------------------------------------------------------------------------- */
static void nobody_goes_unasked(void **state)
{
	const int64_t before = rows_of("goes") + rows_of("stays") + rows_of("other");

	(void)state;
	run(INT64_MAX / 2);
	assert_int_equal(rows_of("goes") + rows_of("stays") + rows_of("other"), before);
}

static void a_user_goes_and_the_totals_stay(void **state)
{
	const int64_t stays = rows_of("stays"), other = rows_of("other");

	(void)state;
	run_sql("UPDATE users SET status = 'deleting' WHERE id = 'goes'");
	run(100000 + ERASER_RIPE_MS - 1);
	assert_int_equal(rows_of("goes"), 1); /* the row itself waits for what is under way */
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'mapping' AND op = 'delete'"), 250);
	run(100000 + ERASER_RIPE_MS);
	run(100000 + ERASER_RIPE_MS);
	assert_int_equal(rows_of("goes"), 0);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE op = 'erase' AND subject = 'goes'"), 1);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE kind = 'mapping' AND op = 'delete'"), 250);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE subject = 'goes' AND fields = 'email'"), 250);
	assert_int_equal(count("SELECT active + bytes_in FROM traffic WHERE id = 'goes'"), 250);
	assert_int_equal(rows_of("stays"), stays);
	assert_int_equal(rows_of("other"), other);
}

static void a_mapping_that_came_late_goes_too(void **state)
{
	(void)state;
	run_sql("UPDATE users SET status = 'deleting' WHERE id = 'goes'");
	run(100000);
	add_work("goes", "red", 1);
	run(100000 + ERASER_RIPE_MS);
	assert_int_equal(rows_of("goes"), 0);
}

static void a_tenant_goes_after_its_users(void **state)
{
	const int64_t other = rows_of("other");

	(void)state;
	run_sql("UPDATE tenants SET status = 'deleting' WHERE id = 'red'");
	run(200000);
	assert_int_equal(count("SELECT count(*) FROM users WHERE tenant_id = 'red' AND status = 'deleting'"), 2);
	assert_int_equal(count("SELECT count(*) FROM mappings WHERE tenant_id = 'red'"), 0);
	assert_int_equal(count("SELECT count(*) FROM tenants WHERE id = 'red'"), 1);
	run(200000 + ERASER_RIPE_MS);
	assert_int_equal(rows_of("goes") + rows_of("stays"), 0);
	assert_int_equal(count("SELECT count(*) FROM tenants WHERE id = 'red'"), 0);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE tenant_id = 'red' AND object IS NOT NULL"), 0);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE op = 'erase'"), 3);
	assert_int_equal(count("SELECT count(*) FROM memberships WHERE tenant_id = 'red'"), 0);
	assert_int_equal(rows_of("other"), other - 1); /* but for its place in the tenant that is gone */
	run(300000);
	assert_int_equal(count("SELECT count(*) FROM changes WHERE op = 'erase'"), 3);
}

/* ---- nothing is forgotten ------------------------------------------------------------------------------------------ */
static bool is_registered(const char *table)
{
	/* What stays, and why that is right. */
	static const char *const stay[] = {
		"dynamic_config",    /* the platform's */
		"platform_settings", /* the platform's */
		"platform_repos",    /* the platform's */
		"mail_suppressions", /* the platform's */
		"panel_objects",     /* the platform's */
		"panel_pages",       /* the platform's */
		"traffic",           /* totals by id, for billing */
		"meters",            /* until the boot ends: what they add to */
		"meter_boots",       /* of relays */
		"placements",        /* ids: a relay may report late */
		"node_homes",        /* of relays */
		"nodes",             /* the platform's */
		"node_groups",       /* the platform's */
		"node_seen",         /* of relays */
		"node_certs",        /* of relays */
		"fleet_cas",         /* the platform's */
		"join_tokens",       /* the platform's */
		"signing_keys",      /* the platform's */
		"controlds",         /* the platform's */
		"idempotency_keys",  /* sealed, and gone after a day */
	};
	const struct erasure *const *lists[] = { clients_erasures, tunnels_erasures, balancer_erasures, certs_erasures,
		jobs_erasures, notify_erasures, panels_erasures, device_login_erasures, identity_erasures };
	const size_t n[] = { clients_erasures_n, tunnels_erasures_n, balancer_erasures_n, certs_erasures_n,
		jobs_erasures_n, notify_erasures_n, panels_erasures_n, device_login_erasures_n, identity_erasures_n };

	for (size_t i = 0; i < ARRAY_LEN(stay); i++)
		if (str_eq(stay[i], table))
			return true;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++)
		for (size_t i = 0; i < n[l]; i++) {
			const char *at = strstr(lists[l][i]->tables, table);
			const size_t len = strlen(table);

			if (at != NULL && (at == lists[l][i]->tables || at[-1] == ',') &&
				(at[len] == '\0' || at[len] == ','))
				return true;
		}
	return false;
}

static void every_table_with_an_owner_is_known(void **state)
{
	struct query *q;
	struct err e;
	struct db *db;
	int failed = 0, seen = 0;

	(void)state;
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(
		db_query(db, &q,
			!str_starts(t.url, "sqlite:")
				? "SELECT DISTINCT table_name FROM "
				  "information_schema.columns WHERE table_schema = current_schema() AND column_name IN "
				  "('tenant_id', 'user_id')"
				: "SELECT DISTINCT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE "
				  "m.type = 'table' AND c.name IN ('tenant_id', 'user_id')",
			&e),
		e);
	while (query_next(q, &e) == 1) {
		seen++;
		if (!is_registered(query_text(q, 0))) {
			print_error("%s: no erasure, and no reason why it stays\n", query_text(q, 0));
			failed++;
		}
	}
	query_end(q);
	store_read_end(db);
	assert_true(seen > 10);
	assert_int_equal(failed, 0);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(nobody_goes_unasked),
		SEQUENCE(a_user_goes_and_the_totals_stay),
		SEQUENCE(a_mapping_that_came_late_goes_too),
		SEQUENCE(a_tenant_goes_after_its_users),
		SEQUENCE(every_table_with_an_owner_is_known),
	};

	log_init("test_eraser", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
