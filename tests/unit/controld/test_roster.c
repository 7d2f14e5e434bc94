#include "controld/fleet/line/roster.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OFFLINE_MS 15000

static struct node row_of(const char *id, const char *group, enum node_standing standing)
{
	struct node n = { .standing = standing, .joined_ms = 1 };

	str_copy(n.id, sizeof n.id, id);
	str_fmt(n.name, sizeof n.name, "name-%s", id);
	str_copy(n.group_id, sizeof n.group_id, group);
	return n;
}

static void put(struct roster *r, const struct node *row, uint64_t now)
{
	const struct roster_serials none = { .n = 0 };

	assert_int_equal(roster_put(r, row, &none, now, NULL), 0);
}

static int setup(void **state)
{
	struct roster *r;
	struct node a = row_of("a", "g", NODE_JOINED), b = row_of("b", "h", NODE_JOINED);

	assert_int_equal(roster_new(&r, OFFLINE_MS, NULL), 0);
	put(r, &a, 0);
	put(r, &b, 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	roster_free(*state);
	return 0;
}

struct seen {
	unsigned n;
	char last[PROTO_ID_SIZE];
	bool online;
};

static void on_node(const struct roster_node *n, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->online = n->row.online;
	str_copy(s->last, sizeof s->last, n->row.id);
}

static unsigned offline_at(struct roster *r, uint64_t now)
{
	struct seen s = { .n = 0 };

	roster_tick(r, now, on_node, &s);
	assert_false(s.online);
	return s.n;
}

static bool is_online(struct roster *r, const char *id)
{
	struct roster_node n;

	assert_true(roster_get(r, id, &n));
	return n.row.online;
}

/* ---- online, offline --------------------------------------------------------------------------------------------- */

static void test_online_from_the_first_word_on(void **state)
{
	struct roster *r = *state;

	assert_false(is_online(r, "a"));
	assert_true(roster_heard(r, "a", "192.0.2.1", 1000, 5));
	assert_true(is_online(r, "a"));
	assert_false(roster_heard(r, "a", "192.0.2.1", 2000, 6)); /* no news */
	assert_int_equal(offline_at(r, 2000 + OFFLINE_MS - 1), 0);
	assert_int_equal(offline_at(r, 2000 + OFFLINE_MS), 1);
	assert_int_equal(offline_at(r, 2000 + OFFLINE_MS + 1), 0); /* once */
	assert_false(is_online(r, "a"));
	assert_true(roster_heard(r, "a", "192.0.2.1", 40000, 7));
}

/* What the last process wrote down is not an event again, if the node comes back in time. */
static void test_after_a_restart(void **state)
{
	struct roster *r = *state;
	struct node c = row_of("c", "g", NODE_JOINED), d = row_of("d", "g", NODE_JOINED);

	c.online = d.online = true;
	put(r, &c, 1000);
	put(r, &d, 1000);
	assert_false(is_online(r, "c"));
	assert_false(roster_heard(r, "c", "192.0.2.1", 2000, 5));
	assert_true(is_online(r, "c"));
	assert_int_equal(offline_at(r, 1000 + OFFLINE_MS), 1); /* d */
}

static void on_late(const char *name, void *arg)
{
	char *names = arg;

	(void)str_fmt(names + strlen(names), 64 - strlen(names), " %s", name);
}

static const char *behind(struct roster *r, uint64_t seq, size_t want_n)
{
	static char names[64];
	size_t n;

	names[0] = '\0';
	roster_behind(r, "g", seq, on_late, names, &n);
	assert_int_equal(n, want_n);
	return names;
}

/* Who is to confirm a change: those that are online, and those that were and have not had the time to come back. */
static void test_who_is_behind(void **state)
{
	const struct node_state at_7 = { .applied = { { 1 }, 7 }, .serial = 1 };
	struct roster *r = *state;
	struct node c = row_of("c", "g", NODE_JOINED);

	assert_string_equal(behind(r, 7, 0), ""); /* nobody is there */
	roster_heard(r, "a", "192.0.2.1", 1000, 5);
	roster_heard(r, "b", "192.0.2.2", 1000, 5); /* of another group */
	assert_string_equal(behind(r, 7, 1), " name-a");
	assert_int_equal(roster_state(r, "a", &at_7, 1000), ROSTER_NEW);
	assert_string_equal(behind(r, 7, 1), "");
	assert_string_equal(behind(r, 8, 1), " name-a");
	c.online = true;
	put(r, &c, 1000);
	assert_string_equal(behind(r, 7, 2), " name-c");
	assert_int_equal(offline_at(r, 1000 + OFFLINE_MS), 3);
	assert_string_equal(behind(r, 8, 0), "");
}

/* This process was stopped for 11 s. What waited at its door is opened before it finds that out. */
static void test_time_that_nobody_listened(void **state)
{
	const struct node_state s = { .serial = 1 };
	struct roster *r = *state;
	struct node c = row_of("c", "g", NODE_JOINED);

	roster_heard(r, "a", "192.0.2.1", 1000, 5);
	assert_true(roster_peer_state(r, "b", "other", true, &s));
	put(r, &c, 1000);
	roster_heard(r, "c", "192.0.2.3", 1000, 5);
	roster_heard(r, "a", "192.0.2.1", 12000, 6);
	roster_forgive(r, 12001);
	assert_int_equal(offline_at(r, 12001), 0);
	assert_int_equal(offline_at(r, 12000 + OFFLINE_MS), 0);
	/* it went to the other one meanwhile, which says so late */
	assert_true(roster_peer_state(r, "c", "other", true, &s));
	assert_int_equal(offline_at(r, 12001 + OFFLINE_MS), 1); /* a: silent since */
	assert_true(is_online(r, "b") && is_online(r, "c"));
}

/* The time of a tick is taken before it reads the change log: what comes in by that is newer. */
static void test_a_word_newer_than_the_tick(void **state)
{
	struct roster *r = *state;

	roster_heard(r, "a", "192.0.2.1", 1001, 5);
	assert_int_equal(offline_at(r, 1000), 0);
	assert_true(is_online(r, "a"));
}

static void test_pending_and_revoked_are_not_heard(void **state)
{
	struct roster *r = *state;
	struct node p = row_of("p", "g", NODE_PENDING), a = row_of("a", "g", NODE_REVOKED);

	put(r, &p, 0);
	assert_false(roster_heard(r, "p", "192.0.2.1", 0, 0));
	assert_false(roster_heard(r, "nobody", "192.0.2.1", 0, 0));
	roster_heard(r, "a", "192.0.2.1", 0, 0);
	put(r, &a, 0);
	assert_false(is_online(r, "a"));
	assert_int_equal(offline_at(r, 10 * OFFLINE_MS), 0); /* revoking was the event */
}

static void test_a_row_read_again_keeps_what_was_heard(void **state)
{
	struct roster *r = *state;
	struct node a = row_of("a", "other", NODE_JOINED);
	struct roster_node n;

	roster_heard(r, "a", "192.0.2.1", 1000, 77);
	put(r, &a, 2000);
	assert_true(roster_get(r, "a", &n));
	assert_true(n.row.online);
	assert_int_equal(n.row.seen_ms, 77);
	assert_string_equal(n.row.address, "192.0.2.1");
	assert_string_equal(n.row.group_id, "other");
}

static void test_counts(void **state)
{
	struct roster *r = *state;
	struct node p = row_of("p", "g", NODE_PENDING);
	size_t nodes, online;

	put(r, &p, 0);
	roster_heard(r, "a", "192.0.2.1", 0, 0);
	roster_count(r, &nodes, &online);
	assert_int_equal(nodes, 2);
	assert_int_equal(online, 1);
	roster_remove(r, "a");
	roster_remove(r, "a");
	roster_count(r, &nodes, &online);
	assert_int_equal(nodes, 1);
	assert_int_equal(online, 0);
}

static void test_flush_names_whom_it_was_not_told_of(void **state)
{
	struct roster *r = *state;
	struct seen s = { .n = 0 };

	roster_heard(r, "b", "192.0.2.1", 0, 0);
	roster_flush(r, on_node, &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.last, "b");
	roster_flush(r, on_node, &s);
	assert_int_equal(s.n, 1);
	offline_at(r, OFFLINE_MS);
	roster_flush(r, on_node, &s);
	assert_int_equal(s.n, 2);
}

/* ---- certificates ------------------------------------------------------------------------------------------------ */

static void test_admits(void **state)
{
	static const struct {
		const char *what, *cn, *serial;
		bool want;
	} cases[] = {
		{ "a joined node", "a", "01", true },
		{ "a refused certificate", "r", "0a", false },
		{ "another one of that node", "r", "0b", true },
		{ "pending", "p", "01", false },
		{ "unknown", "x", "01", false },
		{ "no name", "", "01", false },
	};
	struct roster *r = *state;
	char serials[2][48] = { "0a", "0c" };
	const struct roster_serials refused = { serials, 2 };
	struct node p = row_of("p", "g", NODE_PENDING), n = row_of("r", "g", NODE_JOINED);

	put(r, &p, 0);
	assert_int_equal(roster_put(r, &n, &refused, 0, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cert_info c = { .cn = "" };

		str_copy(c.cn, sizeof c.cn, cases[i].cn);
		str_copy(c.serial, sizeof c.serial, cases[i].serial);
		if (roster_admits(r, &c, 0) != cases[i].want)
			fail_msg("%s", cases[i].what);
	}
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static bool say(struct roster *r, uint64_t serial, uint64_t applied, uint64_t now)
{
	const struct node_state s = { .applied = { { 1 }, applied }, .serial = serial, .more = (uint32_t)serial };

	return roster_state(r, "a", &s, now);
}

static void test_older_states_change_nothing(void **state)
{
	struct roster *r = *state;
	struct roster_node n;

	assert_true(say(r, 5, 100, 30000));
	assert_false(say(r, 4, 200, 30001)); /* an older list */
	assert_true(say(r, 5, 100, 30002));
	assert_true(say(r, 5, 101, 30003));
	assert_false(say(r, 5, 100, 30004)); /* from before it applied 101 */
	assert_true(say(r, 6, 90, 30005));   /* it started from an older snapshot */
	assert_true(roster_get(r, "a", &n));
	assert_int_equal(n.applied.seq, 90);
	assert_int_equal(n.refused, 6);
}

static void test_a_relay_that_began_anew_is_believed(void **state)
{
	struct roster *r = *state;
	struct node a = row_of("a", "g", NODE_JOINED);

	assert_true(say(r, 500, 100, 30000));
	assert_false(say(r, 1, 100, 49999));
	assert_true(say(r, 1, 100, 50000)); /* nobody said 500 for 20 s */
	assert_true(say(r, 500, 100, 50001));
	a.joined_ms = 2; /* bound to another machine */
	put(r, &a, 50002);
	assert_true(say(r, 1, 100, 50003));
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static void test_who_is_asked(void **state)
{
	static const struct {
		const char *group, *node;
		size_t want;
	} cases[] = { { "", "", 2 }, { "g", "", 1 }, { "g", "a", 1 }, { "g", "b", 0 }, { "", "b", 1 }, { "x", "", 0 } };
	struct roster *r = *state;
	struct node c = row_of("c", "g", NODE_JOINED);

	put(r, &c, 0); /* offline */
	roster_heard(r, "a", "192.0.2.1", 0, 0);
	roster_heard(r, "b", "192.0.2.1", 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asks_node *nodes;
		size_t n;

		assert_int_equal(roster_online(r, cases[i].group, cases[i].node, &nodes, &n, NULL), 0);
		assert_int_equal(n, cases[i].want);
		free(nodes);
	}
}

static uint64_t wants(const struct node *row, void *arg)
{
	(void)arg;
	return strcmp(row->id, "a") == 0 ? 120 : 0;
}

static void test_lag(void **state)
{
	struct roster *r = *state;
	struct roster_node n;

	say(r, 1, 100, 0);
	roster_want(r, wants, NULL);
	assert_true(roster_get(r, "a", &n));
	assert_int_equal(roster_lag(&n), 20);
	say(r, 1, 130, 0);
	assert_true(roster_get(r, "a", &n));
	assert_int_equal(roster_lag(&n), 0);
}

static void test_sent_away_once(void **state)
{
	const struct node_state s = { .serial = 1 };
	const struct cert_info a = { .cn = "a" };
	struct roster *r = *state;
	size_t here, online, came_back;
	char ids[4][PROTO_ID_SIZE];

	assert_int_equal(roster_send_away(r, 9000, ids, 4), 0); /* nobody is here */
	roster_heard(r, "a", "192.0.2.1", 1000, 5);
	assert_true(roster_peer_state(r, "b", "other", true, &s));
	assert_int_equal(roster_send_away(r, 9000, ids, 4), 1);
	assert_string_equal(ids[0], "a");
	assert_false(roster_admits(r, &a, 8999));
	assert_true(roster_admits(r, &a, 9000));
	/* it came straight back: not again */
	roster_heard(r, "a", "192.0.2.1", 9000, 6);
	roster_spread(r, &here, &online, &came_back);
	assert_int_equal(here, 1);
	assert_int_equal(online, 2);
	assert_int_equal(came_back, 1);
	assert_int_equal(roster_send_away(r, 20000, ids, 4), 0);
	roster_may_leave_again(r);
	assert_int_equal(roster_send_away(r, 20000, ids, 4), 1);
	/* another had it meanwhile */
	assert_true(roster_peer_state(r, "a", "other", true, &s));
	roster_spread(r, &here, &online, &came_back);
	assert_int_equal(here, 0);
	roster_heard(r, "a", "192.0.2.1", 30000, 7);
	assert_int_equal(roster_send_away(r, 40000, ids, 4), 1);
}

static void count_loads(const struct roster_node *n, void *arg)
{
	assert_true(n->loaded);
	++*(unsigned *)arg;
}

static unsigned reporting(struct roster *r)
{
	unsigned n = 0;

	roster_loads(r, count_loads, &n);
	return n;
}

static void test_what_others_are_told_of_a_load(void **state)
{
	struct node_load load = { .version = "1", .agents = "192.0.2.1:7500", .http_port = 80 };
	struct roster *r = *state;
	struct roster_node n;

	assert_int_equal(reporting(r), 0);
	assert_true(roster_load(r, "a", &load, 1000, 5));
	load.connections = 7; /* figures can wait */
	assert_false(roster_load(r, "a", &load, 6000, 6));
	assert_true(roster_load(r, "a", &load, 16000, 7));
	load.http_port = 8080; /* where it is reached cannot */
	assert_true(roster_load(r, "a", &load, 16001, 8));
	assert_false(roster_load(r, "a", &load, 16002, 9));
	assert_int_equal(reporting(r), 1);
	assert_false(roster_load(r, "nobody", &load, 16002, 9));

	/* it reports to another one */
	load.http_port = 81;
	roster_peer_load(r, "a", "192.0.2.9", 10, &load);
	roster_peer_load(r, "nobody", "192.0.2.9", 10, &load);
	assert_int_equal(reporting(r), 0);
	assert_true(roster_get(r, "a", &n));
	assert_string_equal(n.row.address, "192.0.2.9");
	assert_string_equal(n.row.relay_version, "1");
	assert_int_equal(n.row.seen_ms, 10);
	assert_int_equal(n.load.http_port, 81);
	/* and is back */
	assert_true(roster_load(r, "a", &load, 16003, 11));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_online_from_the_first_word_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_is_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_that_nobody_listened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_word_newer_than_the_tick, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending_and_revoked_are_not_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_row_read_again_keeps_what_was_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_names_whom_it_was_not_told_of, setup, teardown),
		cmocka_unit_test_setup_teardown(test_admits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older_states_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_relay_that_began_anew_is_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sent_away_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_others_are_told_of_a_load, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
