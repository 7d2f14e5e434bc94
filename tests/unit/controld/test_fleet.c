/*
 * The fleet behind the real server and over the real line: join, poll, apply, report, asks, revocation, restart. The
 * relay is played by this file.
 */
#include "common/base/log.h"
#include "tests/unit/lib/fleet_room.h"

#include <fcntl.h>

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static void test_join(void **state)
{
	struct test_relay r = { .key = NULL }, thief = { .key = NULL };
	char token[JOIN_TOKEN_MAX], wrong[JOIN_TOKEN_MAX], *secret;
	struct cert_info cert;
	struct answer a;

	(void)state;
	call_only("op", "POST", "/api/v1/nodes/join-tokens", "{\"name\":\"edge-1\"}", 403);
	call_only("admin", "POST", "/api/v1/nodes/join-tokens", "{\"name\":\"edge-1\",\"group\":\"nope\"}", 422);
	call_only("admin", "POST", "/api/v1/nodes/join-tokens", "{\"name\":\"edge-1\",\"expires_in\":\"60d\"}", 422);
	call_only("admin", "POST", "/api/v1/nodes/join-tokens",
		"{\"name\":\"edge-1\",\"expires_in\":18446744073709553}", 422);
	make_token("{\"name\":\"edge-1\",\"expires_in\":\"1h\"}", token);
	wait_status("edge-1", "pending");

	str_copy(wrong, sizeof wrong, token);
	secret = wrong + strcspn(wrong, ".") + 1;
	*secret = *secret == 'A' ? 'B' : 'A';
	assert_int_equal(test_relay_join(&thief, room.port, wrong), ERR_INVALID_TOKEN);
	assert_int_equal(test_relay_join(&r, room.port, token), 0);
	assert_int_equal(cert_inspect(r.joined.cert_pem, &cert, NULL), 0);
	assert_string_equal(cert.cn, r.joined.node_id);
	assert_int_equal(test_relay_join(&r, room.port, token), 0); /* its answer could have been lost */
	assert_int_equal(test_relay_join(&thief, room.port, token), ERR_INVALID_TOKEN);
	assert_int_equal(thief.refused.retry_ms, 0);
	wait_status("edge-1", "offline");

	test_relay_open(&r, room.port);
	start_up(&r, &a);
	wait_status("edge-1", "online");
	make_token("{\"name\":\"edge-1\"}", token);
	assert_int_equal(test_relay_join(&thief, room.port, token), ERR_LOCKED); /* it is up */
	test_relay_fini(&r);
	test_relay_fini(&thief);
}

static void test_lists_show_what_one_may_see(void **state)
{
	json_t *o, *first;

	(void)state;
	call_only("admin", "POST", "/api/v1/nodes/join-tokens", "{\"name\":\"edge-1\"}", 201);
	o = call("op", "GET", "/api/v1/nodes", NULL, 200);
	first = json_array_get(json_object_get(o, "items"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "name")), "edge-1");
	assert_string_equal(json_string_value(json_object_get(first, "group")), "default");
	assert_null(json_object_get(first, "addresses"));
	json_decref(o);
	o = call("admin", "GET", "/api/v1/nodes", NULL, 200);
	first = json_array_get(json_object_get(o, "items"), 0);
	assert_non_null(json_object_get(first, "addresses"));
	json_decref(o);
	call_only("op", "GET", "/api/v1/nodes/join-tokens", NULL, 403);
	o = call("admin", "GET", "/api/v1/nodes/join-tokens", NULL, 200);
	first = json_array_get(json_object_get(o, "items"), 0);
	assert_null(json_object_get(first, "token"));
	assert_true(json_is_null(json_object_get(first, "used_at")));
	json_decref(o);
	o = call("op", "GET", "/api/v1/groups", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(o, "items")), 1);
	json_decref(o);
}

static void test_strangers_may_only_join(void **state)
{
	struct test_relay r = { .key = NULL };
	const struct msg_poll m = { .page_token = 0 };
	char token[JOIN_TOKEN_MAX];
	struct join_token t;
	struct tls_conf tls = { .peer = TLS_PEER_REQUIRED };
	struct fleet_stats s;
	nng_socket socket;
	struct buf b;

	(void)state;
	make_token("{\"name\":\"edge-1\"}", token);
	assert_int_equal(join_token_parse(&t, token), 0);
	tls.ca_fingerprint = t.ca_fingerprint;
	TEST_RELAY_MUST(test_relay_dial(&socket, room.port, &tls, true));
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	test_relay_send(socket, &b);
	assert_null(test_relay_recv(socket));
	do {
		nng_msleep(20);
		fleet_stats(room.fleet, &s);
	} while (s.connections_expelled == 0);
	test_relay_fini(&r);
}

/* ---- applying ---------------------------------------------------------------------------------------------------- */

static void test_mapping_reaches_the_relay(void **state)
{
	struct node_refusal refusal = {
		.kind = OBJECT_MAPPING, .code = ERR_ADDR_IN_USE, .reason = "address in use: :80"
	};
	char id[PROTO_ID_SIZE], path[128];
	struct test_relay r;
	struct answer a;
	json_t *o;

	(void)state;
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	create_mapping("", id);
	expect_entries(&r, &a, "+", id);
	assert_string_equal(a.target, "192.0.2.1");
	mapping_path(id, path);
	wait_member(path, "status", "pending");
	wait_member("/api/v1/nodes/edge-1", "status", "online");
	send_poll(&r, &a.head.to, NULL);
	wait_member(path, "status", "active");
	wait_member("/api/v1/nodes/edge-1", "lag", "0");

	call_only("admin", "PUT", path, "{\"target_port\":81}", 200);
	expect_entries(&r, &a, "+", id);
	str_copy(refusal.id, sizeof refusal.id, id);
	refusal.seq = a.head.to.seq;
	send_poll(&r, &a.head.to, &refusal);
	wait_member(path, "status", "error");
	o = call("admin", "GET", path, NULL, 200);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json_object_get(o, "error"), "edge-1"), "message")),
		refusal.reason);
	json_decref(o);

	call_only("admin", "DELETE", path, NULL, 204);
	expect_entries(&r, &a, "-", id);
	test_relay_fini(&r);
}

static void test_placement(void **state)
{
	char one[PROTO_ID_SIZE], all[PROTO_ID_SIZE], id[PROTO_ID_SIZE];
	struct test_relay r1, r2;
	struct answer a1, a2;

	(void)state;
	join_and_open(&r1, "edge-1");
	join_and_open(&r2, "edge-2");
	call_only("admin", "POST", "/api/v1/groups", "{\"name\":\"eu\"}", 201);
	start_up(&r1, &a1);
	start_up(&r2, &a2);
	create_mapping(",\"node\":\"edge-2\"", one);
	expect_entries(&r2, &a2, "+", one);
	create_mapping("", all);
	expect_entries(&r1, &a1, "+", all); /* and was not woken before */
	send_poll(&r2, &a2.head.to, NULL);
	expect_entries(&r2, &a2, "+", all);

	/* moved to another group, it gets what is there: nothing of the old one */
	create_mapping(",\"group\":\"eu\"", id);
	send_poll(&r1, &a1.head.to, NULL);
	call_only("admin", "PUT", "/api/v1/nodes/edge-1", "{\"group\":\"eu\"}", 200);
	recv_update(&r1, &a1);
	assert_int_equal(a1.head.kind, UPDATE_SNAPSHOT);
	assert_int_equal(a1.entries[0], '+');
	assert_string_equal(a1.entries + 1, id);

	call_only("admin", "POST", "/api/v1/mappings",
		"{\"protocol\":\"tcp\",\"target_host\":\"192.0.2.1\",\"target_port\":80,\"node\":\"edge-1\","
		"\"group\":\"default\"}",
		422);
	call_only("admin", "DELETE", "/api/v1/groups/eu", NULL, 409);
	call_only("admin", "DELETE", "/api/v1/groups/default", NULL, 409);
	test_relay_fini(&r1);
	test_relay_fini(&r2);
}

/* ---- reports, asks ----------------------------------------------------------------------------------------------- */

static void send_report(struct test_relay *r, const char *boot, uint64_t number, const char *object, uint64_t bytes_in)
{
	struct msg_report m = { .number = number, .load = { .version = "1.2.3", .connections = 7 } };
	struct meter_row row = { .slot = 1 };
	size_t at;
	struct buf b;

	str_copy(m.boot, sizeof m.boot, boot);
	str_copy(row.object, sizeof row.object, object);
	row.value[METER_bytes_in] = bytes_in;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &m, &at);
	if (boot[0] != '\0')
		msg_report_row(&b, &row);
	msg_report_end(&b, at, boot[0] != '\0');
	test_relay_send(r->report, &b);
}

static void expect_ack(struct test_relay *r, const char *boot, uint64_t stored)
{
	struct msg_report_ack ack;
	nng_msg *m = test_relay_recv(r->report);

	assert_non_null(m);
	assert_int_equal(msg_report_ack_decode(&ack, nng_msg_body(m), nng_msg_len(m)), 0);
	assert_string_equal(ack.boot, boot);
	assert_int_equal(ack.stored, stored);
	nng_msg_free(m);
}

static long long bytes_received(const char *path)
{
	json_t *o = call("admin", "GET", path, NULL, 200);
	long long n = json_integer_value(json_object_get(json_object_get(o, "traffic_stats"), "bytes_received"));

	json_decref(o);
	return n;
}

static void test_reports(void **state)
{
	char id[PROTO_ID_SIZE], path[128];
	struct test_relay r;
	json_t *o;

	(void)state;
	join_and_open(&r, "edge-1");
	create_mapping("", id);
	mapping_path(id, path);
	send_report(&r, "", 0, "", 0);
	expect_ack(&r, "", 0);
	wait_status("edge-1", "online");
	o = call("admin", "GET", "/api/v1/nodes/edge-1", NULL, 200);
	assert_string_equal(json_string_value(json_object_get(o, "version")), "1.2.3");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "load"), "connections")), 7);
	json_decref(o);
	send_report(&r, "boot_1", 1, id, 1000);
	expect_ack(&r, "boot_1", 1);
	send_report(&r, "boot_1", 1, id, 1000); /* the answer was lost */
	expect_ack(&r, "boot_1", 1);
	assert_int_equal(bytes_received(path), 1000);
	send_report(&r, "boot_1", 2, id, 1500);
	expect_ack(&r, "boot_1", 2);
	assert_int_equal(bytes_received(path), 1500);
	test_relay_fini(&r);
}

static void test_asks(void **state)
{
	const struct relays *relays = fleet_relays(room.fleet);
	struct relay_answers got = { .complete = false };
	struct conn_info conn = { .id = 42, .mapping = "map_1", .protocol = MAPPING_TCP };
	struct msg_answer m = { .n = 1, .conns = &conn };
	struct test_relay r;
	struct answer a;
	struct buf b;
	struct err e;
	nng_msg *ack;
	uint64_t ask;

	(void)state;
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	wait_status("edge-1", "online");
	assert_int_equal(relays->ops->list(relays->self, "", "", "", 10, &ask, &e), 0);
	recv_update(&r, &a);
	assert_int_equal(a.head.kind, UPDATE_NOTHING);
	assert_int_equal(a.head.n_asks, 1);
	assert_int_equal(a.head.asks[0].id, ask);
	m.ask = ask;
	buf_init(&b, PROTO_MSG_MAX);
	msg_answer_encode(&m, &b);
	test_relay_send(r.report, &b);
	ack = test_relay_recv(r.report);
	assert_non_null(ack);
	assert_int_equal(msg_answer_ack_decode(nng_msg_body(ack), nng_msg_len(ack)), 0);
	nng_msg_free(ack);
	assert_int_equal(relays->ops->result(relays->self, ask, &got, &e), 0);
	assert_true(got.complete);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.conns[0].info.id, 42);
	assert_string_equal(got.conns[0].node_name, "edge-1");
	relay_answers_fini(&got);
	relays->ops->forget(relays->self, ask);
	assert_int_equal(relays->ops->cut(relays->self, "nod_none", 1, &ask, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	test_relay_fini(&r);
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

static int count_events(const struct change *c, void *arg)
{
	unsigned *n = arg;

	n[0] += str_eq(c->op, "online");
	n[1] += str_eq(c->op, "offline");
	return 0;
}

/* Until there are so many of both, or more. */
static void wait_events(unsigned online, unsigned offline, unsigned n[2])
{
	uint64_t end = clock_mono_ms() + 30000;

	do {
		struct db *db;
		struct err e;

		memset(n, 0, 2 * sizeof *n);
		TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
		TEST_STORE_MUST(changes_read(db, 0, 1000, "node", count_events, n, &e), e);
		store_read_end(db);
		nng_msleep(20);
	} while ((n[0] < online || n[1] < offline) && clock_mono_ms() < end);
	assert_true(n[0] >= online && n[1] >= offline);
}

static bool is_online(void)
{
	json_t *o = call("admin", "GET", "/api/v1/nodes/edge-1", NULL, 200);
	const bool online = str_eq(json_string_value(json_object_get(o, "status")), "online");

	json_decref(o);
	return online;
}

/* Goes on reporting until it is online: on a slow machine its silence between may be long enough to be offline again. */
static void report_until_online(struct test_relay *r)
{
	const uint64_t end = clock_mono_ms() + 30000;

	do {
		nng_msg *m;

		assert_true(clock_mono_ms() < end);
		send_report(r, "", 0, "", 0); /* it dials again by itself */
		if ((m = test_relay_recv(r->report)) != NULL)
			nng_msg_free(m);
	} while (!is_online());
}

static void test_offline_and_back(void **state)
{
	struct test_relay r;
	unsigned n[2];

	(void)state;
	join_and_open(&r, "edge-1");
	send_report(&r, "", 0, "", 0);
	expect_ack(&r, "", 0);
	wait_events(1, 0, n);
	wait_status("edge-1", "offline"); /* not a word for 1.5 s; its connections are closed */
	wait_events(1, 1, n);
	assert_int_equal(n[0], 1);
	assert_int_equal(n[1], 1);
	report_until_online(&r);
	wait_events(2, 1, n);
	test_relay_fini(&r);
}

static void test_revoked_and_bound_again(void **state)
{
	struct test_relay r = { .key = NULL }, other = { .key = NULL };
	char token[JOIN_TOKEN_MAX], first[JOIN_TOKEN_MAX];
	nng_socket s;
	struct answer a;

	(void)state;
	make_token("{\"name\":\"edge-1\"}", first);
	assert_int_equal(test_relay_join(&r, room.port, first), 0);
	test_relay_open(&r, room.port);
	start_up(&r, &a);
	wait_status("edge-1", "online");
	call_only("admin", "DELETE", "/api/v1/nodes/edge-1", NULL, 204);
	assert_null(test_relay_recv(r.poll)); /* its connection went */
	wait_status("edge-1", "revoked");
	assert_int_not_equal(test_relay_dial_own(&r, room.port, &s, true), 0);

	make_token("{\"name\":\"edge-1\"}", token);
	assert_int_equal(test_relay_join(&other, room.port, token), 0);
	assert_string_equal(other.joined.node_id, r.joined.node_id);
	assert_int_not_equal(test_relay_dial_own(&r, room.port, &s, true), 0);      /* the old certificate */
	assert_int_equal(test_relay_join(&r, room.port, first), ERR_INVALID_TOKEN); /* the old token */
	test_relay_open(&other, room.port);
	start_up(&other, &a);
	wait_status("edge-1", "online");

	call_only("admin", "DELETE", "/api/v1/nodes/edge-1", NULL, 204);
	call_only("admin", "DELETE", "/api/v1/nodes/edge-1", NULL, 204);
	call_only("admin", "GET", "/api/v1/nodes/edge-1", NULL, 404);
	test_relay_fini(&r);
	test_relay_fini(&other);
}

static void test_renewal(void **state)
{
	struct msg_renew m = { .request_pem = "" };
	struct msg_joined joined;
	struct test_relay r;
	struct cert_info before, after;
	nng_msg *reply;
	struct buf b;

	(void)state;
	join_and_open(&r, "edge-1");
	assert_int_equal(cert_inspect(r.joined.cert_pem, &before, NULL), 0);
	str_copy(m.request_pem, sizeof m.request_pem, r.request);
	buf_init(&b, PROTO_MSG_MAX);
	msg_renew_encode(&m, &b);
	test_relay_send(r.report, &b);
	reply = test_relay_recv(r.report);
	assert_non_null(reply);
	assert_int_equal(msg_joined_decode(&joined, nng_msg_body(reply), nng_msg_len(reply)), 0);
	nng_msg_free(reply);
	assert_int_equal(cert_inspect(joined.cert_pem, &after, NULL), 0);
	assert_string_equal(after.cn, before.cn);
	assert_string_not_equal(after.serial, before.serial);
	test_relay_fini(&r);
}

/* A relay that was up to date gets no snapshot from a controld that has started again. */
static void test_restart(void **state)
{
	const struct fleet_conf conf = conf_for_tests();
	char one[PROTO_ID_SIZE], two[PROTO_ID_SIZE];
	struct fleet *again;
	struct test_relay r;
	struct answer a;
	struct err e;

	(void)state;
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	create_mapping("", one);
	expect_entries(&r, &a, "+", one);
	fleet_stop(room.fleet);
	create_mapping("", two);
	TEST_STORE_MUST(
		fleet_new(&again, &conf, room.server.store.store, server_parks(room.server.server), room.statuses, &e),
		e);
	TEST_STORE_MUST(fleet_start(again, &e), e);
	TEST_RELAY_MUST(test_relay_dial_own(&r, fleet_port(again), &r.poll, true));
	send_poll(&r, &a.head.to, NULL);
	expect_entries(&r, &a, "+", two);
	fleet_stop(again);
	fleet_free(again);
	test_relay_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_join, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists_show_what_one_may_see, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers_may_only_join, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapping_reaches_the_relay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_placement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offline_and_back, setup_hasty, teardown),
		cmocka_unit_test_setup_teardown(test_revoked_and_bound_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
	};

	log_init("test_fleet", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
