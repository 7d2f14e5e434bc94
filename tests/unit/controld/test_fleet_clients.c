/* Clients over the real line: which relays hear of them, what switches them off there, what relays say about them. */
#include "tests/unit/lib/fleet_room.h"

#include <fcntl.h>

struct logged {
	const char *sql, *kind, *subject;
};

static int work_logged(struct db *tx, void *arg, struct err *e)
{
	const struct logged *l = arg;
	const struct change c = {
		.tenant = "red",
		.actor = "",
		.request_id = "",
		.kind = l->kind,
		.op = "update",
		.subject = l->subject,
		.fields = "",
	};

	return db_exec(tx, l->sql, e) < 0 ? -1 : changes_append(tx, &c, NULL, e);
}

static void run_logged(const char *sql, const char *kind, const char *subject)
{
	struct logged l = { sql, kind, subject };
	struct err e;

	TEST_STORE_MUST(store_write(room.server.store.store, STORE_LOGGED, work_logged, &l, &e), e);
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

static int64_t create_client(const char *who, char path[128])
{
	json_t *o = call(who, "POST", "/api/v1/clients", "{\"name\":\"box\"}", 201);
	const int64_t id = json_integer_value(json_object_get(o, "id"));

	json_decref(o);
	str_fmt(path, 128, "/api/v1/clients/%lld", (long long)id);
	return id;
}

static void expect_update(struct test_relay *r, struct answer *a, const char *fmt, const char *one, const char *two)
{
	char want[128];

	send_poll(r, &a->head.to, NULL);
	recv_update(r, a);
	str_fmt(want, sizeof want, "%s", fmt);
	if (two != NULL)
		str_fmt(want, sizeof want, fmt, one, two);
	else
		str_fmt(want, sizeof want, fmt, one);
	assert_string_equal(a->entries, want);
}

static void test_client_reaches_the_relays_of_its_mappings(void **state)
{
	char path[128], in_group[160], mapping[PROTO_ID_SIZE], other[PROTO_ID_SIZE], more[64], id[PROTO_ID_SIZE];
	struct test_relay r1, r2;
	struct answer a1, a2;
	int64_t client;

	(void)state;
	call_only("admin", "POST", "/api/v1/groups", "{\"name\":\"eu\"}", 201);
	join_and_open(&r1, "edge-1");
	join_and_open(&r2, "edge-2");
	call_only("admin", "PUT", "/api/v1/nodes/edge-2", "{\"group\":\"eu\"}", 200);
	start_up(&r1, &a1);
	start_up(&r2, &a2);
	client = create_client("op", path); /* without a mapping: where an agent may come first */
	str_fmt(id, sizeof id, "%lld", (long long)client);
	expect_entries(&r1, &a1, "+", id);
	assert_int_equal(a1.client.n_keys, 1);
	assert_string_equal(a1.client.tenant, "red");

	str_fmt(more, sizeof more, ",\"target_client_id\":%s,\"group\":\"eu\"", id);
	create_mapping(more, mapping);
	recv_update(&r2, &a2);
	str_fmt(in_group, sizeof in_group, "+%s +%s", mapping, id);
	assert_string_equal(a2.entries, in_group);
	expect_update(&r1, &a1, "-%s", id, NULL);
	str_fmt(more, sizeof more, ",\"target_client_id\":%s", id);
	create_mapping(more, other);
	expect_update(&r1, &a1, "+%s +%s", other, id);

	/* switched off: its mappings are, too, and their connections end */
	call_only("op", "PUT", path, "{\"enabled\":false}", 200);
	expect_update(&r1, &a1, "*%s *%s", id, other);
	expect_update(&r2, &a2, "*%s *%s", id, mapping);
	call_only("op", "PUT", path, "{\"enabled\":true,\"config\":{\"max_connections\":9}}", 200);
	expect_update(&r1, &a1, "+%s +%s", id, other);
	assert_int_equal(a1.client.max_connections, 9);
	call_only("op", "PUT", path, "{\"name\":\"other\"}", 200); /* is nothing to a relay */
	call_only("op", "DELETE", path, NULL, 204);
	expect_update(&r1, &a1, "-%s *%s", id, other);
	call_only("op", "GET", path, NULL, 404);
	test_relay_fini(&r1);
	test_relay_fini(&r2);
}

static void test_owner_of_a_client(void **state)
{
	char path[128], id[PROTO_ID_SIZE], mapping[PROTO_ID_SIZE], more[64];
	struct test_relay r;
	struct answer a;

	(void)state;
	join_and_open(&r, "edge-1");
	str_fmt(id, sizeof id, "%lld", (long long)create_client("op", path));
	str_fmt(more, sizeof more, ",\"target_client_id\":%s", id);
	create_mapping(more, mapping); /* of somebody else */
	start_up(&r, &a);
	run_logged("UPDATE users SET status = 'suspended' WHERE id = 'usr_op'", "user", "usr_op");
	recv_update(&r, &a);
	str_fmt(more, sizeof more, "*%s *%s", id, mapping);
	assert_string_equal(a.entries, more);
	test_relay_fini(&r);
}

static void report_clients(struct test_relay *r, const char *client)
{
	struct client_state one = { .instance = "i-1", .remote = "192.0.2.7:4", .version = "2.0", .links = 3 };
	struct msg_report m = { .clients = { .told = true, .n = client != NULL, .items = &one } };
	size_t at;
	struct buf b;

	one.state = CLIENT_STATE_ONLINE;
	if (client != NULL)
		str_copy(one.client, sizeof one.client, client);
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &m, &at);
	msg_report_end(&b, at, 0);
	test_relay_send(r->report, &b);
	expect_ack(r, "", 0);
}

static void test_status_of_clients(void **state)
{
	const json_t *instance;
	char path[128], id[PROTO_ID_SIZE], list[64];
	struct test_relay r;
	json_t *o;

	(void)state;
	join_and_open(&r, "edge-1");
	str_fmt(id, sizeof id, "%lld", (long long)create_client("op", path));
	wait_member(path, "status", "offline");
	report_clients(&r, id);
	wait_member(path, "status", "online");
	o = call("op", "GET", path, NULL, 200);
	instance = json_array_get(json_object_get(o, "instances"), 0);
	assert_string_equal(json_string_value(json_object_get(instance, "instance")), "i-1");
	assert_string_equal(json_string_value(json_object_get(instance, "node")), "edge-1");
	assert_string_equal(json_string_value(json_object_get(instance, "remote_addr")), "192.0.2.7:4");
	assert_string_equal(json_string_value(json_object_get(o, "node_id")),
		json_string_value(json_object_get(instance, "node_id")));
	assert_true(json_is_string(json_object_get(o, "last_seen")));
	json_decref(o);
	str_fmt(list, sizeof list, "/api/v1/clients?status=online");
	o = call("op", "GET", list, NULL, 200);
	assert_int_equal(json_array_size(json_object_get(o, "items")), 1);
	json_decref(o);
	report_clients(&r, NULL);
	wait_member(path, "status", "offline");
	o = call("op", "GET", list, NULL, 200);
	assert_int_equal(json_array_size(json_object_get(o, "items")), 0);
	json_decref(o);
	test_relay_fini(&r);
}

/* Silent for too long: nothing it said holds. */
static void test_a_silent_relay_has_no_clients(void **state)
{
	char path[128], id[PROTO_ID_SIZE];
	struct test_relay r;

	(void)state;
	join_and_open(&r, "edge-1");
	str_fmt(id, sizeof id, "%lld", (long long)create_client("op", path));
	report_clients(&r, id);
	wait_status("edge-1", "offline");
	wait_member(path, "status", "offline");
	test_relay_fini(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest list[] = {
		TEST(test_client_reaches_the_relays_of_its_mappings),
		TEST(test_owner_of_a_client),
		TEST(test_status_of_clients),
		cmocka_unit_test_setup_teardown(test_a_silent_relay_has_no_clients, setup_hasty, teardown),
	};

	log_init("test_fleet_clients", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(list, NULL, NULL);
}
