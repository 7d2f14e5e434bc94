/*
 * Two controlds on one database: the room's, which the API asks, and a second fleet that the relay polls. A relay that is
 * known at one is known at the other, what it acknowledges and refuses too, and asks reach it.
 */
#include "common/base/log.h"
#include "tests/unit/lib/fleet_room.h"

#include <fcntl.h>

static struct second {
	struct fleet *fleet;
	struct mapping_statuses *statuses;
	struct client_statuses *clients;
	uint16_t port;
	pthread_mutex_t lock; /* of ready: whether both may be spoken to */
	bool ready;
} second = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_ready(void)
{
	bool ready;

	pthread_mutex_lock(&second.lock);
	ready = second.ready;
	pthread_mutex_unlock(&second.lock);
	return ready;
}

static void set_ready(bool ready)
{
	pthread_mutex_lock(&second.lock);
	second.ready = ready;
	pthread_mutex_unlock(&second.lock);
}

static void a_sends(void *self, const void *p, size_t n)
{
	(void)self;
	if (is_ready())
		fleet_peer_message(second.fleet, "ctl_a", p, n);
}

static void b_sends(void *self, const void *p, size_t n)
{
	(void)self;
	if (is_ready())
		fleet_peer_message(room.fleet, "ctl_b", p, n);
}

static void open_second(void)
{
	struct fleet_conf c = conf_for_tests();
	struct store *store = room.server.store.store;
	struct err e;

	c.self = "ctl_b";
	c.bus = (struct fleet_bus){ b_sends, NULL };
	TEST_STORE_MUST(client_statuses_new(&second.clients, &e), e);
	c.clients = second.clients;
	TEST_STORE_MUST(mapping_statuses_new(&second.statuses, server_parks(room.server.server), &e), e);
	TEST_STORE_MUST(fleet_new(&second.fleet, &c, store, server_parks(room.server.server), second.statuses, &e), e);
	TEST_STORE_MUST(fleet_start(second.fleet, &e), e);
	second.port = fleet_port(second.fleet);
	set_ready(true);
	fleet_peer_gap(second.fleet);
	fleet_peer_gap(room.fleet);
}

static void close_second(void)
{
	set_ready(false);
	fleet_stop(second.fleet);
	fleet_free(second.fleet);
	mapping_statuses_free(second.statuses);
	client_statuses_free(second.clients);
}

static int setup_both(void **state)
{
	room_bus = (struct fleet_bus){ a_sends, NULL };
	if (setup(state) != 0)
		return -1;
	open_second();
	return 0;
}

static int setup_both_hasty(void **state)
{
	int rc;

	room_offline_ms = 1500;
	rc = setup_both(state);
	room_offline_ms = 60000;
	return rc;
}

static int teardown_both(void **state)
{
	close_second();
	return teardown(state);
}

/* ---- what the database says -------------------------------------------------------------------------------------- */

struct counting {
	const char *op;
	unsigned n;
};

static int on_change(const struct change *c, void *arg)
{
	struct counting *k = arg;

	k->n += str_eq(c->op, k->op);
	return 0;
}

static unsigned events(const char *op)
{
	struct counting k = { op, 0 };
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(changes_read(db, 0, 1000, "node", on_change, &k, &e), e);
	store_read_end(db);
	return k.n;
}

static void wait_events(const char *op, unsigned want)
{
	uint64_t end = clock_mono_ms() + 30000;

	while (events(op) != want && clock_mono_ms() < end)
		nng_msleep(10);
	assert_int_equal(events(op), want);
}

static size_t online_at_second(void)
{
	const struct relays *r = fleet_relays(second.fleet);
	size_t nodes, online;

	r->ops->count(r->self, &nodes, &online);
	return online;
}

static void wait_online_at_second(size_t want)
{
	uint64_t end = clock_mono_ms() + 30000;

	while (online_at_second() != want && clock_mono_ms() < end)
		nng_msleep(10);
	assert_int_equal(online_at_second(), want);
}

static void wait_joined_at_second(size_t want)
{
	const struct relays *r = fleet_relays(second.fleet);
	uint64_t end = clock_mono_ms() + 30000;
	size_t nodes, online;

	do
		r->ops->count(r->self, &nodes, &online);
	while (nodes != want && clock_mono_ms() < end);
	assert_int_equal(nodes, want);
}

/* Joins by one and polls the other. */
static void join_here_poll_there(struct test_relay *r, struct answer *a)
{
	char token[JOIN_TOKEN_MAX];

	memset(r, 0, sizeof *r);
	make_token("{\"name\":\"edge-1\"}", token);
	assert_int_equal(test_relay_join(r, room.port, token), 0);
	wait_joined_at_second(1); /* a relay would come again */
	test_relay_open(r, second.port);
	start_up(r, a);
	wait_status("edge-1", "online");
}

/* ---- promises ---------------------------------------------------------------------------------------------------- */

static void test_what_one_knows_the_other_knows(void **state)
{
	struct test_relay r;
	struct answer a;
	struct node_refusal refusal = { .kind = OBJECT_MAPPING, .code = ERR_ADDR_IN_USE, .reason = "taken" };
	char id[PROTO_ID_SIZE], path[128];

	(void)state;
	join_here_poll_there(&r, &a);
	create_mapping("", id);
	mapping_path(id, path);
	wait_member(path, "status", "pending");
	expect_entries(&r, &a, "+", id);
	send_poll(&r, &a.head.to, NULL);
	wait_member(path, "status", "active");
	call_only("admin", "PUT", path, "{\"target_port\":81}", 200);
	expect_entries(&r, &a, "+", id);
	str_copy(refusal.id, sizeof refusal.id, id);
	refusal.seq = a.head.to.seq;
	send_poll(&r, &a.head.to, &refusal);
	wait_member(path, "status", "error");
	send_poll(&r, &a.head.to, NULL);
	wait_member(path, "status", "active");
	wait_events("online", 1);
	assert_int_equal(events("offline"), 0);
	test_relay_fini(&r);
}

static void test_asks_reach_it(void **state)
{
	struct conn_info conn = { .id = 9, .protocol = MAPPING_TCP, .remote = "192.0.2.9:1" };
	const struct relays *relays = fleet_relays(room.fleet);
	struct msg_answer m = { .n = 1, .conns = &conn };
	struct relay_answers got = { .n = 0 };
	struct test_relay r;
	struct answer a;
	struct err e;
	struct buf b;
	uint64_t ask, end = clock_mono_ms() + 30000;

	(void)state;
	join_here_poll_there(&r, &a);
	str_copy(conn.mapping, sizeof conn.mapping, "map_x");
	TEST_STORE_MUST(relays->ops->list(relays->self, "", "", "", 10, &ask, &e), e);
	recv_update(&r, &a);
	assert_int_equal(a.head.n_asks, 1);
	m.ask = a.head.asks[0].id;
	assert_int_equal(m.ask, ask);
	buf_init(&b, PROTO_MSG_MAX);
	msg_answer_encode(&m, &b);
	test_relay_send(r.report, &b);
	nng_msg_free(test_relay_recv(r.report));
	while (!got.complete && clock_mono_ms() < end) {
		relay_answers_fini(&got);
		TEST_STORE_MUST(relays->ops->result(relays->self, ask, &got, &e), e);
		nng_msleep(5);
	}
	assert_true(got.complete);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.conns[0].info.id, 9);
	relay_answers_fini(&got);
	relays->ops->forget(relays->self, ask);
	test_relay_fini(&r);
}

/* An agent at a relay that polls the other one is online here, too, until its relay says that it is not. */
static void test_agents_are_known_to_both(void **state)
{
	struct client_state agent = { .client = "17", .instance = "laptop", .state = CLIENT_STATE_ONLINE, .links = 1 };
	struct msg_report m = { .clients = { .told = true, .n = 1, .items = &agent } };
	uint64_t end = clock_mono_ms() + 30000;
	struct test_relay r;
	struct answer a;

	(void)state;
	join_here_poll_there(&r, &a);
	for (size_t want = 1; want + 1 > 0; want--) {
		struct buf b;
		size_t count_at;

		m.clients.n = (uint32_t)want;
		buf_init(&b, PROTO_MSG_MAX);
		msg_report_begin(&b, &m, &count_at);
		msg_report_end(&b, count_at, 0);
		test_relay_send(r.report, &b);
		nng_msg_free(test_relay_recv(r.report));
		while (client_statuses_online(room.client_statuses) != want && clock_mono_ms() < end)
			nng_msleep(5);
		assert_int_equal(client_statuses_online(room.client_statuses), want);
		assert_int_equal(client_statuses_online(second.clients), want);
	}
	test_relay_fini(&r);
}

/* From one to the other and back: no event, and both agree. */
static void test_a_relay_that_moves(void **state)
{
	struct test_relay r;
	struct answer a;

	(void)state;
	join_here_poll_there(&r, &a);

	for (int i = 0; i < 3; i++) {
		test_relay_open(&r, i % 2 == 0 ? room.port : second.port);
		send_poll(&r, &a.head.to, NULL);
		wait_online_at_second(1);
		wait_status("edge-1", "online");
	}
	wait_events("online", 1);
	assert_int_equal(events("offline"), 0);
	test_relay_fini(&r);
}

/* Its controld dies, and it comes to no other: offline, said once. */
static void test_a_controld_that_is_lost(void **state)
{
	struct test_relay r;
	struct answer a;

	(void)state;
	join_here_poll_there(&r, &a);
	wait_events("online", 1);
	set_ready(false); /* dead, as far as the room knows */
	fleet_peer_lost(room.fleet, "ctl_b");
	wait_status("edge-1", "offline");
	wait_events("offline", 1);
	set_ready(true);
	fleet_peer_gap(room.fleet); /* it was not: what it has is asked for again */
	send_poll(&r, &a.head.to, NULL);
	wait_status("edge-1", "online");
	test_relay_fini(&r);
}

/* Without a database it has nothing new for its relays: they go where there is one, and are never offline. */
static void test_relays_are_sent_away(void **state)
{
	struct test_relay r;
	struct answer a;
	nng_socket again;

	(void)state;
	join_here_poll_there(&r, &a);
	fleet_send_away(second.fleet);
	assert_null(test_relay_recv(r.poll)); /* the parked poll ends with its connection */
	assert_int_not_equal(test_relay_dial_own(&r, second.port, &again, true), 0);
	test_relay_open(&r, room.port);
	send_poll(&r, &a.head.to, NULL);
	wait_online_at_second(1);
	wait_status("edge-1", "online");
	assert_int_equal(events("offline"), 0);
	fleet_send_away(room.fleet);
	assert_null(test_relay_recv(r.poll));
	fleet_peer_gap(room.fleet); /* the database is back, and so are they */
	test_relay_open(&r, room.port);
	test_relay_fini(&r);
}

/* Alone it keeps them: there is nowhere to go. */
static void test_nobody_is_sent_to_nowhere(void **state)
{
	struct test_relay r;
	struct answer a;
	char id[PROTO_ID_SIZE];

	(void)state;
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	fleet_send_away(room.fleet);
	create_mapping("", id);
	expect_entries(&r, &a, "+", id);
	test_relay_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_one_knows_the_other_knows, setup_both, teardown_both),
		cmocka_unit_test_setup_teardown(test_asks_reach_it, setup_both, teardown_both),
		cmocka_unit_test_setup_teardown(test_agents_are_known_to_both, setup_both, teardown_both),
		cmocka_unit_test_setup_teardown(test_a_relay_that_moves, setup_both, teardown_both),
		cmocka_unit_test_setup_teardown(test_relays_are_sent_away, setup_both, teardown_both),
		cmocka_unit_test_setup_teardown(test_nobody_is_sent_to_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_controld_that_is_lost, setup_both_hasty, teardown_both),
	};

	log_init("test_fleet_peers", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
