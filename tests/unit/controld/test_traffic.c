/* traffic: totals stay exact whatever happens to reports: repeated, late, lost, of several boots and relays. */
#include "controld/tunnels/traffic.h"

#include "controld/tunnels/placement.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;

/* Relays n1 and n2 are in group g, n3 is in h; map_a is in g, map_b on n1 of it, map_c has moved from g to h. */
static int work_place(struct db *tx, struct err *e)
{
	static const struct mapping all[] = {
		{ .id = "map_a", .tenant_id = "red", .group_id = "g" },
		{ .id = "map_b", .tenant_id = "red", .group_id = "g", .node_id = "n1" },
		{ .id = "map_c", .tenant_id = "blue", .group_id = "g" },
		{ .id = "map_c", .tenant_id = "blue", .group_id = "h" },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (placement_note(tx, &all[i], e) != 0)
			return -1;
	if (placement_note_node(tx, "n1", "g", e) != 0 || placement_note_node(tx, "n2", "g", e) != 0)
		return -1;
	return placement_note_node(tx, "n3", "h", e);
}

static int work_open(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	if (work_place(tx, e) != 0)
		return -1;
	if (traffic_open(tx, "map_a", "red", "usr_1", e) != 0 || traffic_open(tx, "map_b", "red", "usr_2", e) != 0)
		return -1;
	return traffic_open(tx, "map_c", "blue", "", e);
}

static int setup(void **state)
{
	struct err e;

	(void)state;
	test_store_open(&t);
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_open, NULL, &e), e);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

/* ---- a report, sent through its wire form --------------------------------------------------------------------------- */
struct row {
	uint64_t slot;
	const char *mapping;
	uint64_t bytes_in, opened, closed;
};

struct sent {
	const char *node, *boot;
	uint64_t number;
	bool last;
	struct row rows[24]; /* up to the first without a mapping */
	bool stored;
};

static void encode(const struct sent *s, struct buf *b)
{
	struct msg_report head = { .number = s->number, .last = s->last };
	uint32_t n = 0;
	size_t count_at;

	str_copy(head.boot, sizeof head.boot, s->boot);
	msg_report_begin(b, &head, &count_at);
	for (; n < ARRAY_LEN(s->rows) && s->rows[n].mapping != NULL; n++) {
		struct meter_row row = { .slot = s->rows[n].slot };

		str_copy(row.object, sizeof row.object, s->rows[n].mapping);
		row.value[METER_bytes_in] = s->rows[n].bytes_in;
		row.value[METER_opened] = s->rows[n].opened;
		row.value[METER_closed] = s->rows[n].closed;
		msg_report_row(b, &row);
	}
	msg_report_end(b, count_at, n);
}

static int work_report(struct db *tx, void *arg, struct err *e)
{
	struct sent *s = arg;
	struct traffic_report one;
	struct msg_report r;
	struct buf b;
	int rc;

	buf_init(&b, PROTO_MSG_MAX);
	encode(s, &b);
	if (b.failed || msg_report_decode(&r, b.data, b.len) != 0) {
		buf_free(&b);
		return err_set(e, ERR_INTERNAL, NULL, "the test's own report is wrong");
	}
	one = (struct traffic_report){ .node_id = s->node, .m = &r };
	rc = traffic_store_reports(tx, &one, 1, 1000 + (int64_t)s->number, e);
	s->stored = one.stored;
	msg_report_fini(&r);
	buf_free(&b);
	return rc;
}

static bool report(struct sent s)
{
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_report, &s, &e), e);
	return s.stored;
}

static struct traffic total(enum traffic_scope scope, const char *tenant, const char *id)
{
	struct traffic out;
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	if (traffic_get(db, scope, tenant, id, &out, &e) < 0)
		fail_msg("%s", e.msg);
	store_read_end(db);
	return out;
}

static void expect(
	enum traffic_scope scope, const char *tenant, const char *id, int64_t bytes_in, int64_t opened, int64_t active)
{
	const struct traffic is = total(scope, tenant, id);

	print_message("%s %s\n", traffic_scope_name(scope), id);
	assert_int_equal(is.value[METER_bytes_in], bytes_in);
	assert_int_equal(is.value[METER_opened], opened);
	assert_int_equal(is.active, active);
}

/* ---- sequences ---------------------------------------------------------------------------------------------------- */
static void values_are_replaced(void **state)
{
	(void)state;
	assert_true(report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 2, 1 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 100, 2, 1);
	assert_true(report((struct sent){ "n1", "b1", 2, false, { { 1, "map_a", 250, 5, 5 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 250, 5, 0);
}

/* A relay that lies, or is broken: totals come to their end and stay numbers. */
static void totals_have_an_end(void **state)
{
	const uint64_t huge = UINT64_MAX, many = INT64_MAX;

	(void)state;
	assert_true(report((struct sent){ "n1", "b1", 1, false,
		{ { 1, "map_a", huge, many, 0 }, { 2, "map_a", huge, many, 0 }, { 3, "map_b", many, huge, 0 } },
		false }));
	assert_true(report((struct sent){ "n2", "b1", 1, false, { { 1, "map_a", huge, many, 1 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", TRAFFIC_MAX, TRAFFIC_MAX, TRAFFIC_MAX);
	expect(TRAFFIC_SYSTEM, "", "", TRAFFIC_MAX, TRAFFIC_MAX, TRAFFIC_MAX);
	assert_true(report((struct sent){ "n1", "b1", 2, true, { { 1, "map_a", huge, many, huge } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_b", TRAFFIC_MAX, TRAFFIC_MAX, 0);
}

/* What a relay says of mappings that never were on it counts for itself and the system only. */
static void a_relay_is_believed_its_own_mappings(void **state)
{
	(void)state;
	report((struct sent){ "n3", "b1", 1, false, { { 1, "map_a", 100, 1, 0 }, { 2, "map_c", 30, 1, 0 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_a", 0, 0, 0);
	expect(TRAFFIC_TENANT, "red", "red", 0, 0, 0);
	expect(TRAFFIC_MAPPING, "blue", "map_c", 30, 1, 1);
	expect(TRAFFIC_NODE, "", "n3", 130, 2, 2);
	report((struct sent){ "n2", "b1", 1, false, { { 1, "map_b", 7, 1, 0 }, { 2, "map_c", 2, 1, 0 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_b", 0, 0, 0);
	expect(TRAFFIC_MAPPING, "blue", "map_c", 32, 2, 2);
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_b", 7, 1, 0 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_b", 7, 1, 1);
}

static void what_passes_a_backend_is_its_routes(void **state)
{
	(void)state;
	report((struct sent){
		"n8", "boot_8", 1, false, { { 0, "rte_x", 100, 2, 1 }, { 1, "bck_x", 100, 0, 0 } }, false });
	expect(TRAFFIC_NODE, "", "n8", 100, 2, 1);
	report((struct sent){
		"n8", "boot_8", 2, true, { { 0, "rte_x", 150, 2, 2 }, { 1, "bck_x", 150, 0, 0 } }, false });
	expect(TRAFFIC_NODE, "", "n8", 150, 2, 0);
}

static void old_numbers_change_nothing(void **state)
{
	(void)state;
	report((struct sent){ "n1", "b1", 2, false, { { 1, "map_a", 250, 5, 4 } }, false });
	assert_false(report((struct sent){ "n1", "b1", 2, false, { { 1, "map_a", 250, 5, 4 } }, false }));
	assert_false(report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 2, 1 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 250, 5, 1);
	/* a lost one is made up for by the next */
	assert_true(report((struct sent){ "n1", "b1", 9, false, { { 1, "map_a", 900, 9, 9 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 900, 9, 0);
}

/* Reports of several relays in one transaction, in any order: each number is claimed once, totals are written once. */
static int work_many(struct db *tx, void *arg, struct err *e)
{
	struct sent sent[] = {
		{ "n2", "b1", 1, false, { { 1, "map_a", 1000, 1, 0 } }, false },
		{ "n1", "b1", 2, false, { { 1, "map_a", 150, 2, 0 } }, false },
		{ "n1", "b1", 1, false, { { 1, "map_a", 100, 1, 0 } }, false },
		{ "n1", "", 0, false, { { 0 } }, false },
		{ "n2", "b1", 1, false, { { 1, "map_a", 7777, 9, 0 } }, false },
	};
	struct traffic_report all[ARRAY_LEN(sent)];
	struct msg_report m[ARRAY_LEN(sent)];
	struct buf b[ARRAY_LEN(sent)];
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		buf_init(&b[i], PROTO_MSG_MAX);
		encode(&sent[i], &b[i]);
		assert_int_equal(msg_report_decode(&m[i], b[i].data, b[i].len), 0);
		all[i] = (struct traffic_report){ .node_id = sent[i].node, .m = &m[i] };
	}
	rc = traffic_store_reports(tx, all, ARRAY_LEN(all), 5000, e);
	*(int *)arg = 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*(int *)arg += all[i].stored;
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		msg_report_fini(&m[i]);
		buf_free(&b[i]);
	}
	return rc;
}

static void many_reports_at_once(void **state)
{
	struct err e;
	int stored;

	(void)state;
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_many, &stored, &e), e);
	assert_int_equal(stored, 4); /* all but one of the two that claim n2's first */
	expect(TRAFFIC_NODE, "", "n1", 150, 2, 2);
	assert_int_equal(total(TRAFFIC_SYSTEM, "", "").value[METER_bytes_in],
		150 + total(TRAFFIC_NODE, "", "n2").value[METER_bytes_in]);
}

/* More meters than are saved at once, slots near and far and out of order, one named twice; then some of them again. */
static void many_meters_in_a_report(void **state)
{
	struct sent first = { "n1", "b1", 1, false, { { 0 } }, false },
		    second = { "n1", "b1", 2, false, { { 0 } }, false };
	int64_t bytes = 0;

	(void)state;
	for (size_t i = 0; i < 20; i++)
		first.rows[i] = (struct row){ (20 - i) * (i % 3 == 0 ? 1000 : 1), "map_a", 10 + i, 1, 0 };
	first.rows[20] = (struct row){ UINT64_MAX, "map_a", 5, 0, 0 };
	first.rows[21] = (struct row){ first.rows[4].slot, "map_a", 500, 2, 0 };
	for (size_t i = 0; i < 21; i++)
		bytes += (int64_t)first.rows[i].bytes_in;
	bytes += 500 - (int64_t)first.rows[4].bytes_in;
	assert_true(report(first));
	expect(TRAFFIC_MAPPING, "red", "map_a", bytes, 21, 21);
	for (size_t i = 0; i < 22; i++) {
		second.rows[i] = first.rows[21 - i];
		second.rows[i].bytes_in = MAX(second.rows[i].bytes_in, first.rows[i == 17 ? 21 : 21 - i].bytes_in) + 1;
	}
	assert_true(report(second));
	expect(TRAFFIC_MAPPING, "red", "map_a", bytes + 21, 21, 21);
	expect(TRAFFIC_NODE, "", "n1", bytes + 21, 21, 21);
	assert_false(report(second));
}

/* A relay that invents boots fills its share and no more; one that ends makes room. */
static int work_invent(struct db *tx, void *arg, struct err *e)
{
	for (int i = 0; i < TRAFFIC_BOOTS_MAX; i++) {
		struct sent s = { "n1", "", 1, false, { { 1, "map_a", 1, 0, 0 } }, false };
		char boot[16];

		str_fmt(boot, sizeof boot, "living-%d", i);
		s.boot = boot;
		if (work_report(tx, &s, e) != 0)
			return -1;
	}
	for (int i = 0; i < TRAFFIC_BOOTS_KEPT + 50; i++) {
		struct sent s = { "n2", "", (uint64_t)i + 1, true, { { 0 } }, false };
		char boot[16];

		str_fmt(boot, sizeof boot, "ended-%d", i);
		s.boot = boot;
		if (work_report(tx, &s, e) != 0)
			return -1;
	}
	(void)arg;
	return 0;
}

static int work_count_boots(struct db *tx, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, "SELECT count(*) FROM meter_boots WHERE node_id = 'n2'", e) != 0)
		return -1;
	rc = query_next(q, e);
	*(int64_t *)arg = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

static void boots_of_one_node_have_an_end(void **state)
{
	int64_t boots = 0;
	struct err e;

	(void)state;
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_invent, NULL, &e), e);
	expect(TRAFFIC_NODE, "", "n1", TRAFFIC_BOOTS_MAX, 0, 0);
	assert_false(report((struct sent){ "n1", "one more", 1, false, { { 1, "map_a", 100, 0, 0 } }, false }));
	expect(TRAFFIC_NODE, "", "n1", TRAFFIC_BOOTS_MAX, 0, 0);
	assert_true(report((struct sent){ "n1", "living-7", 2, true, { { 0 } }, false }));
	assert_true(report((struct sent){ "n1", "one more", 1, false, { { 1, "map_a", 100, 0, 0 } }, false }));
	expect(TRAFFIC_NODE, "", "n1", TRAFFIC_BOOTS_MAX + 100, 0, 0);
	/* of those that ended, the newest are known: a late report of them counts nothing */
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_count_boots, &boots, &e), e);
	assert_int_equal(boots, TRAFFIC_BOOTS_KEPT);
	assert_false(report((struct sent){ "n2", "ended-1049", 1051, true, { { 1, "map_a", 9, 0, 0 } }, false }));
	assert_false(report((struct sent){ "n2", "ended-50", 9999, true, { { 1, "map_a", 9, 0, 0 } }, false }));
}

static void boots_and_nodes_add_up(void **state)
{
	(void)state;
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 3, 1 }, { 2, "map_b", 10, 1, 0 } }, false });
	report((struct sent){ "n1", "b2", 1, false, { { 1, "map_a", 50, 1, 1 }, { 2, "map_a", 5, 1, 0 } }, false });
	report((struct sent){ "n2", "b1", 1, false, { { 1, "map_a", 1000, 1, 0 }, { 9, "map_c", 7, 1, 0 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_a", 1155, 6, 4);
	expect(TRAFFIC_MAPPING, "red", "map_b", 10, 1, 1);
	expect(TRAFFIC_MAPPING, "blue", "map_c", 7, 1, 1);
	expect(TRAFFIC_MAPPING, "blue", "map_a", 0, 0, 0); /* the wall */
	expect(TRAFFIC_USER, "red", "usr_1", 1155, 6, 4);
	expect(TRAFFIC_USER, "red", "usr_2", 10, 1, 1);
	expect(TRAFFIC_TENANT, "red", "red", 1165, 7, 5);
	expect(TRAFFIC_TENANT, "blue", "blue", 7, 1, 1);
	expect(TRAFFIC_NODE, "", "n1", 165, 6, 4);
	expect(TRAFFIC_NODE, "", "n2", 1007, 2, 2);
	expect(TRAFFIC_SYSTEM, "", "", 1172, 8, 6);
}

/* kill -9 of the relay: its file is reported to the end by the next process, between that one's own reports. */
static void a_killed_boot_ends(void **state)
{
	(void)state;
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 4, 1 } }, false });
	report((struct sent){ "n1", "b2", 1, false, { { 1, "map_a", 10, 1, 0 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_a", 110, 5, 4);
	assert_true(report((struct sent){ "n1", "b1", 2, true, { { 1, "map_a", 170, 6, 2 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 180, 7, 1);
	assert_false(report((struct sent){ "n1", "b1", 2, true, { { 1, "map_a", 170, 6, 2 } }, false }));
	assert_false(report((struct sent){ "n1", "b1", 3, false, { { 1, "map_a", 9999, 9, 2 } }, false }));
	report((struct sent){ "n1", "b2", 2, false, { { 1, "map_a", 20, 1, 1 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_a", 190, 7, 0);
	expect(TRAFFIC_SYSTEM, "", "", 190, 7, 0);
}

static void a_boot_that_ends_without_news(void **state)
{
	(void)state;
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 4, 1 }, { 2, "map_c", 1, 1, 0 } }, false });
	assert_true(report((struct sent){ "n1", "b1", 2, true, { { 0 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 100, 4, 0);
	expect(TRAFFIC_MAPPING, "blue", "map_c", 1, 1, 0);
	expect(TRAFFIC_NODE, "", "n1", 101, 5, 0);
}

static void odd_reports(void **state)
{
	(void)state;
	/* a heartbeat has no boot */
	assert_true(report((struct sent){ "n1", "", 0, false, { { 0 } }, false }));
	/* nobody knows the mapping: the relay's own total and the system's have it */
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_gone", 40, 1, 1 } }, false });
	expect(TRAFFIC_NODE, "", "n1", 40, 1, 0);
	expect(TRAFFIC_SYSTEM, "", "", 40, 1, 0);
	/* a counter that falls is kept as it was, and counts on from there */
	report((struct sent){ "n1", "b1", 2, false, { { 2, "map_a", 100, 1, 1 } }, false });
	report((struct sent){ "n1", "b1", 3, false, { { 2, "map_a", 60, 1, 1 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_a", 100, 1, 0);
	report((struct sent){ "n1", "b1", 4, false, { { 2, "map_a", 130, 1, 1 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_a", 130, 1, 0);
	/* a slot never becomes another mapping's */
	report((struct sent){ "n1", "b1", 5, false, { { 2, "map_b", 9000, 1, 1 } }, false });
	expect(TRAFFIC_MAPPING, "red", "map_b", 0, 0, 0);
	/* more than a database can hold */
	report((struct sent){ "n1", "b1", 6, false, { { 3, "map_b", UINT64_MAX, 0, 0 } }, false });
	assert_int_equal(total(TRAFFIC_MAPPING, "red", "map_b").value[METER_bytes_in], TRAFFIC_MAX);
}

static int work_gone(struct db *tx, void *arg, struct err *e)
{
	return traffic_node_gone(tx, arg, 5000, e);
}

static void a_removed_node_has_no_connections(void **state)
{
	char node[] = "n1";
	struct err e;

	(void)state;
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 4, 1 } }, false });
	report((struct sent){ "n1", "b2", 1, false, { { 1, "map_a", 10, 2, 0 } }, false });
	report((struct sent){ "n2", "b3", 1, false, { { 1, "map_a", 10, 2, 0 } }, false });
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_gone, node, &e), e);
	expect(TRAFFIC_MAPPING, "red", "map_a", 120, 8, 2);
	expect(TRAFFIC_NODE, "", "n1", 110, 6, 0);
	assert_false(report((struct sent){ "n1", "b2", 2, false, { { 1, "map_a", 99, 9, 0 } }, false }));
}

static atomic_bool reported; /* but not yet stored */

static int work_report_slowly(struct db *tx, void *arg, struct err *e)
{
	int rc = work_report(tx, arg, e);

	atomic_store(&reported, true);
	usleep(500000);
	return rc;
}

static void *work_another(void *arg)
{
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_report_slowly, arg, &e), e);
	return NULL;
}

/* Who stores the report and who removes the node are different programs, or writers of one. */
static void a_node_is_removed_while_it_reports(void **state)
{
	struct sent more = { "n1", "b1", 2, false, { { 1, "map_a", 110, 9, 1 } }, false };
	char node[] = "n1";
	pthread_t thread;
	struct err e;

	(void)state;
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 4, 1 } }, false });
	atomic_store(&reported, false);
	assert_int_equal(pthread_create(&thread, NULL, work_another, &more), 0);
	while (!atomic_load(&reported))
		usleep(1000);
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_gone, node, &e), e);
	pthread_join(thread, NULL);
	expect(TRAFFIC_MAPPING, "red", "map_a", 110, 9, 0);
	expect(TRAFFIC_NODE, "", "n1", 110, 9, 0);
}

/* The daemon ends at any moment: what was answered as stored is there, the rest can be sent again. */
static void after_a_restart(void **state)
{
	(void)state;
	report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 4, 1 } }, false });
	store_close(t.store);
	test_store_reopen(&t);
	assert_false(report((struct sent){ "n1", "b1", 1, false, { { 1, "map_a", 100, 4, 1 } }, false }));
	assert_true(report((struct sent){ "n1", "b1", 2, false, { { 1, "map_a", 150, 4, 4 } }, false }));
	expect(TRAFFIC_MAPPING, "red", "map_a", 150, 4, 0);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(values_are_replaced),
		SEQUENCE(totals_have_an_end),
		SEQUENCE(a_relay_is_believed_its_own_mappings),
		SEQUENCE(what_passes_a_backend_is_its_routes),
		SEQUENCE(old_numbers_change_nothing),
		SEQUENCE(many_reports_at_once),
		SEQUENCE(many_meters_in_a_report),
		SEQUENCE(boots_of_one_node_have_an_end),
		SEQUENCE(boots_and_nodes_add_up),
		SEQUENCE(a_killed_boot_ends),
		SEQUENCE(a_boot_that_ends_without_news),
		SEQUENCE(odd_reports),
		SEQUENCE(a_removed_node_has_no_connections),
		SEQUENCE(a_node_is_removed_while_it_reports),
		SEQUENCE(after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
