/* Certificates and ticket keys in the model of the fleet: they are in the groups that need them, when they are needed there. */
#include "controld/fleet/line/model_reader.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/certs/answer.h"
#include "controld/certs/certificate.h"
#include "controld/certs/ticket_keys.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/roster.h"
#include "controld/store/changes.h"
#include "proto/ticket_conf.h"
#include "proto/update.h"
#include "tests/unit/common/site_pki.h"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct {
	struct test_store t;
	struct roster *roster;
	struct model_reader *reader;
	char group[PROTO_ID_SIZE], other[PROTO_ID_SIZE];
} room;
static struct site_cert ca, site;
static const struct who who = { "system", "", 1 };

static int work_found(struct db *tx, void *arg, struct err *e)
{
	struct group g = { .name = "other" };

	(void)arg;
	if (group_bootstrap(tx, &who, e) != 0 || group_create(tx, &g, &who, e) != 0)
		return -1;
	str_copy(room.other, sizeof room.other, g.id);
	if (group_get(tx, GROUP_DEFAULT, &g, e) != 0)
		return -1;
	str_copy(room.group, sizeof room.group, g.id);
	return 0;
}

static int work_rotate(struct db *tx, void *arg, struct err *e)
{
	return ticket_keys_rotate(tx, *(int64_t *)arg, e);
}

/* op on the certificate of this id. */
struct step {
	const char *op;
	const char *id;
};

static int work_cert(struct db *tx, void *arg, struct err *e)
{
	const struct step *s = arg;
	struct certificate c = { .tenant_id = "ten_a", .version = 1 };
	struct change how = { .actor = "test", .op = s->op, .fields = "" };
	int rc;

	str_copy(c.id, sizeof c.id, s->id);
	if (certificate_take(&c, site.chain, site.key, clock_wall_ms(), e) != 0 ||
		certificate_log(tx, &c, &how, e) != 0)
		return -1;
	rc = str_eq(s->op, "create") ? certificate_insert(tx, &c, e) : certificate_delete(tx, c.id, e);
	certificate_fini(&c);
	return rc;
}

/* As a route of that host would be written. */
struct host {
	const char *route, *name, *group, *protocol;
};

static int work_host(struct db *tx, void *arg, struct err *e)
{
	const struct host *h = arg;
	const struct change how = {
		.tenant = "ten_a", .actor = "test", .kind = "route", .op = "create", .subject = h->route, .fields = ""
	};

	if (db_exec(tx,
		    "INSERT INTO lb_route_hosts (tenant_id, group_id, protocol, name, route_key, route_id) VALUES "
		    "('ten_a', ?1, "
		    "?2, ?3, '', ?4)",
		    e, bind_s(h->group), bind_s(h->protocol), bind_s(h->name), bind_s(h->route)) < 0)
		return -1;
	return changes_append(tx, &how, NULL, e);
}

static void write_now(store_fn fn, void *arg)
{
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(room.t.store, STORE_LOGGED, fn, arg, &e), e);
}

static void open_reader(void)
{
	struct model_reader_conf c = { .store = room.t.store, .changes_max = 100, .recall_max = 100 };
	struct err e = { 0 };

	assert_int_equal(roster_new(&room.roster, 15000, &e), 0);
	c.roster = room.roster;
	TEST_STORE_MUST(model_reader_new(&room.reader, &c, &e), e);
}

static void close_reader(void)
{
	model_reader_free(room.reader);
	roster_free(room.roster);
}

static int setup(void **state)
{
	(void)state;
	test_store_open(&room.t);
	write_now(work_found, NULL);
	open_reader();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_reader();
	test_store_close(&room.t);
	return 0;
}

/* Objects of a group, but for the ticket keys, which are everywhere. */
static size_t certs_in(const char *group)
{
	struct err e = { 0 };

	assert_true(model_reader_catch_up(room.reader, &e) >= 0);
	return model_group_count(model_reader_model(room.reader), group) - 1;
}

static void a_certificate_is_where_a_route_needs_it(void **state)
{
	const struct host clear = { "rte_0", "a.example", room.group, "http" };
	const struct host here = { "rte_1", "a.example", room.group, "tls" };
	const struct host there = { "rte_2", "x.b.example", room.other, "tls" };
	struct step create = { "create", "crt_1" }, delete = { "delete", "crt_1" }, second = { "create", "crt_2" };

	(void)state;
	write_now(work_cert, &create);
	write_now(work_host, (void *)(uintptr_t)&clear);
	assert_int_equal(certs_in(room.group), 0);
	write_now(work_host, (void *)(uintptr_t)&here); /* the route comes after its certificate */
	assert_int_equal(certs_in(room.group), 1);
	assert_int_equal(certs_in(room.other), 0);
	write_now(work_host, (void *)(uintptr_t)&there);
	assert_int_equal(certs_in(room.other), 1);
	write_now(work_cert, &second); /* the certificate comes after its route */
	assert_int_equal(certs_in(room.group), 2);
	close_reader(); /* read anew it is the same */
	open_reader();
	assert_int_equal(certs_in(room.group), 2);
	assert_int_equal(certs_in(room.other), 2);
	write_now(work_cert, &delete);
	assert_int_equal(certs_in(room.group), 1);
	assert_int_equal(certs_in(room.other), 1);
}

static int work_answer(struct db *tx, void *arg, struct err *e)
{
	const struct acme_conf conf = {
		.type = ACME_HTTP, .host = "a.example", .token = "token", .authorization = "token.x", .until_ms = 100
	};
	const struct answer a = { "crt_1", "ten_a", conf.token, &conf };

	return answer_put(tx, &a, 1, arg, e);
}

static int work_answers_end(struct db *tx, void *arg, struct err *e)
{
	return answer_clear(tx, arg, 2, e);
}

static int work_answers_clean(struct db *tx, void *arg, struct err *e)
{
	unsigned n;

	return answer_clean(tx, *(int64_t *)arg, 10, &n, e);
}

static void an_answer_to_a_ca_is_where_its_host_is_served(void **state)
{
	const struct host here = { "rte_1", "*.example", room.group, "tls" };
	const struct host there = { "rte_2", "a.example", room.other, "http" };
	int64_t seq = 0, again = 0, now;
	char id[] = "crt_1";

	(void)state;
	write_now(work_host, (void *)(uintptr_t)&here);
	write_now(work_host, (void *)(uintptr_t)&there);
	write_now(work_answer, &seq);
	assert_true(seq > 0);
	assert_int_equal(certs_in(room.group), 1);
	assert_int_equal(certs_in(room.other), 0); /* not over TLS there */
	close_reader();                            /* read anew it is the same */
	open_reader();
	assert_int_equal(certs_in(room.group), 1);
	write_now(work_answer, &again); /* the same challenge: the same object, which relays confirm anew */
	assert_true(again > seq);
	assert_int_equal(certs_in(room.group), 1);
	write_now(work_answers_end, id);
	assert_int_equal(certs_in(room.group), 0);
	write_now(work_answer, &again);
	now = 99;
	write_now(work_answers_clean, &now);
	assert_int_equal(certs_in(room.group), 1);
	now = 100;
	write_now(work_answers_clean, &now);
	assert_int_equal(certs_in(room.group), 0);
}

static void ticket_keys_are_everywhere(void **state)
{
	struct model *m = model_reader_model(room.reader);
	struct model_put tickets = {
		.kind = OBJECT_TICKETS, .id = TICKETS_ID, .group = room.group, .node = "", .spread = true
	};
	int64_t now = clock_wall_ms();
	uint64_t before;
	struct err e = { 0 };

	(void)state;
	assert_false(model_has(m, &tickets, 1));
	before = model_changes(m);
	write_now(work_rotate, &now);
	assert_true(model_reader_catch_up(room.reader, &e) >= 0);
	assert_true(model_changes(m) > before);
	assert_int_equal(model_group_count(m, room.group), 1);
	assert_int_equal(model_group_count(m, room.other), 1);
}

static int build(void **state)
{
	(void)state;
	site_make(&ca, SITE_ECDSA, "CA", NULL, NULL, 10);
	site_make(&site, SITE_ECDSA, "site", "DNS:a.example,DNS:*.b.example", &ca, 5);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	site_free(&ca);
	site_free(&site);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_certificate_is_where_a_route_needs_it, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_to_a_ca_is_where_its_host_is_served, setup, teardown),
		cmocka_unit_test_setup_teardown(ticket_keys_are_everywhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
