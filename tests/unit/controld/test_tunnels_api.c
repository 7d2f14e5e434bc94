/*
 * The tunnels room behind the real server: mappings from the request to the row, the log and what a relay is told; the
 * wall between tenants; waiting for relays; live connections; statistics.
 */
#include "tests/unit/controld/tunnels_room.h"

static int keep_placed(const struct mapping_placed *p, void *arg)
{
	struct mapping_placed *out = arg;

	*out = *p;
	/* the lists live as long as the call: keep whether there were any */
	out->conf.dial_allow.items = NULL;
	return 0;
}

static struct mapping_placed placed(const char *id)
{
	struct mapping_placed p;
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(mapping_placed_get(db, id, keep_placed, &p, &e), e);
	store_read_end(db);
	return p;
}

/* ---- mappings ----------------------------------------------------------------------------------------------------- */
static void create_answers_with_all_members(void **state)
{
	static const char *const members[] = { "id", "tenant_id", "user_id", "name", "source_client_id",
		"target_client_id", "protocol", "bind_address", "source_port", "source_port_end", "target_host",
		"target_port", "group", "node", "status", "error", "limits", "allow", "deny", "proxy_protocol",
		"accept_proxy_protocol", "timeouts", "keepalive", "on_delete", "drain", "udp_amplification_limit",
		"hot", "expires_at", "traffic_stats", "version", "created_at", "updated_at", "type" };
	json_t *m = call("admin", "POST", "/api/v1/mappings", MAPPING(",\"name\":\"web\""), 201);
	const json_t *stats = json_object_get(m, "traffic_stats");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_object_get(m, members[i]) == NULL)
			fail_msg("no %s", members[i]);
	assert_in_range(number_in(m, "source_port"), 10000, 10009);
	assert_string_equal(text_in(m, "status"), "pending"); /* no relay is there */
	assert_string_equal(text_in(m, "type"), "standard");
	assert_string_equal(text_in(m, "user_id"), "usr_admin");
	assert_int_equal(number_in(stats, "bytes_received"), 0);
	assert_true(json_is_object(json_object_get(stats, "refused_by_reason")));
	assert_non_null(strstr(room.client.headers, "\"v1\""));
	json_decref(m);
}

static void create_waits_for_the_relays(void **state)
{
	static const struct {
		enum edge_does does;
		const char *status;
	} cases[] = { { EDGE_ACKNOWLEDGES, "active" }, { EDGE_REFUSES, "error" }, { EDGE_AWAY, "pending" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *m;

		print_message("%s\n", cases[i].status);
		edge(cases[i].does);
		m = call("admin", "POST", "/api/v1/mappings", MAPPING(""), 201);
		assert_string_equal(text_in(m, "status"), cases[i].status);
		assert_int_equal(json_is_object(json_object_get(m, "error")), cases[i].does == EDGE_REFUSES);
		if (cases[i].does == EDGE_REFUSES)
			assert_string_equal(text_in(json_object_get(json_object_get(m, "error"), "edge-1"), "code"),
				"ADDRESS_IN_USE");
		json_decref(m);
	}
}

static int setup_hasty(void **state)
{
	const uint64_t usual = room_create_wait_ms;
	int rc;

	room_create_wait_ms = 100;
	rc = setup(state);
	room_create_wait_ms = usual;
	return rc;
}

static void create_waits_not_for_ever(void **state)
{
	json_t *m;

	(void)state;
	edge(EDGE_SILENT);
	m = call("admin", "POST", "/api/v1/mappings", MAPPING(""), 201);
	assert_string_equal(text_in(m, "status"), "pending");
	assert_false(json_is_object(json_object_get(m, "error")));
	json_decref(m);
}

static void refusals_of_a_create(void **state)
{
	static const struct {
		const char *what, *who, *body, *code;
		int status;
	} cases[] = {
		{ "two rules broken", "admin",
			MAPPING(",\"source_port\":0,\"source_port_end\":5,\"bind_address\":\"x\""), "VALIDATION_ERROR",
			422 },
		{ "only a target is missing", "admin", "{\"protocol\":\"tcp\",\"target_port\":1}", "VALIDATION_ERROR",
			400 },
		{ "no such group", "admin", MAPPING(",\"group\":\"moon\""), "VALIDATION_ERROR", 422 },
		{ "no such node", "admin", MAPPING(",\"node\":\"moon\""), "VALIDATION_ERROR", 422 },
		{ "port of another", "op", MAPPING(",\"source_port\":777"), "PORT_ALREADY_IN_USE", 409 },
		{ "not granted", "op", "{\"protocol\":\"tcp\",\"target_host\":\"127.0.0.1\",\"target_port\":1}",
			"TARGET_NOT_ALLOWED", 403 },
		{ "the Internet is not private space", "blue", MAPPING(""), "TARGET_NOT_ALLOWED", 403 },
		{ "viewers may not", "viewer", MAPPING(""), "INSUFFICIENT_PERMISSIONS", 403 },
	};

	(void)state;
	call_only("admin", "POST", "/api/v1/mappings", MAPPING(",\"source_port\":777"), 201);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *answer;

		print_message("%s\n", cases[i].what);
		answer = call(cases[i].who, "POST", "/api/v1/mappings", cases[i].body, cases[i].status);
		assert_string_equal(text_in(answer, "code"), cases[i].code);
		json_decref(answer);
	}
}

/* What a schema finds, and what only the rest can see: in one answer, and nothing that may not be so. */
static void all_that_is_wrong_is_named_at_once(void **state)
{
	static const struct {
		const char *method, *body, *fields;
	} cases[] = {
		{ "POST",
			"{\"protocol\":\"udp\",\"target_host\":\"a "
			"b\",\"target_port\":80,\"proxy_protocol\":\"v1\",\"drain\":7,\"size\":1,\"name\":3}",
			"name target_host size proxy_protocol" },
		{ "POST", "{\"protocol\":\"tcp\",\"name\":3}", "name target_port target_host" },
		{ "POST",
			"{\"protocol\":\"sctp\",\"timeouts\":{\"idle\":\"9000d\"},\"expires_at\":\"2001-01-01T00:00:"
			"00Z\"}",
			"protocol expires_at timeouts.idle" },
		{ "POST",
			"{\"protocol\":\"tcp\",\"target_host\":\"svc.example\",\"target_port\":80,\"source_port\":"
			"70000,\"source_port_end\":20}",
			"source_port" },
		{ "POST",
			"{\"protocol\":\"tcp\",\"target_client_id\":\"x\",\"target_port\":80,\"transport\":"
			"\"dedicated\",\"bind_address\":\"nowhere\"}",
			"target_client_id bind_address" },
		{ "PUT", "{\"protocol\":\"udp\",\"name\":3,\"target_host\":\"a b\",\"source_port_end\":90000}",
			"name source_port_end target_host protocol" },
	};
	json_t *m;
	char path[64];

	(void)state;
	m = call("op", "POST", "/api/v1/mappings", MAPPING(",\"source_port\":2000"), 201);
	str_fmt(path, sizeof path, "/api/v1/mappings/%s", text_in(m, "id"));
	json_decref(m);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool put = str_eq(cases[i].method, "PUT");
		json_t *e = call("op", cases[i].method, put ? path : "/api/v1/mappings", cases[i].body, 422);
		json_t *details = json_object_get(e, "details"), *one;
		char named[256] = "";
		size_t j;

		if (json_is_object(details))
			str_copy(named, sizeof named, text_in(details, "field"));
		json_array_foreach(details, j, one) str_fmt(named + strlen(named), sizeof named - strlen(named), "%s%s",
			j > 0 ? " " : "", text_in(one, "field"));
		assert_string_equal(named, cases[i].fields);
		json_decref(e);
	}
	m = call("op", "GET", path, NULL, 200);
	assert_int_equal(number_in(m, "version"), 1);
	json_decref(m);
}

static void ports_and_mappings_run_out(void **state)
{
	char id[PROTO_ID_SIZE];

	(void)state;
	call_only(
		"admin", "POST", "/api/v1/mappings", MAPPING(",\"source_port\":10000,\"source_port_end\":10008"), 201);
	create("admin", MAPPING(""), id);
	call_only("admin", "POST", "/api/v1/mappings", MAPPING(""), 503);
	call_only("admin", "DELETE", path_of(id), NULL, 204);
	create("admin", MAPPING(""), id);
	for (int i = 2; i < 8; i++)
		call_only("admin", "POST", "/api/v1/mappings", MAPPING(",\"group\":\"eu\""), 201);
	call_only("admin", "POST", "/api/v1/mappings", MAPPING(",\"group\":\"eu\""), 409);
}

/* edge-1 refuses so many versions with "address in use". */
static void picked_ports_move_until_a_relay_has_them(void **state)
{
	static const struct {
		const char *what, *more;
		int refusals, version, ports;
		const char *status;
	} cases[] = {
		{ "one", "", 3, 4, 1, "active" },
		{ "a range", ",\"source_port_count\":2", 2, 3, 2, "active" },
		{ "as often as it may", "", MAPPING_PICKS_MAX - 1, MAPPING_PICKS_MAX, 1, "active" },
		{ "not for ever", "", INT_MAX, MAPPING_PICKS_MAX, 1, "error" },
		{ "asked for", ",\"source_port\":9000", INT_MAX, 1, 1, "error" },
		{ "a range that was asked for", ",\"source_port\":9000,\"source_port_count\":2", INT_MAX, 1, 2,
			"error" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char body[256], id[PROTO_ID_SIZE], held[128];
		json_t *m;

		print_message("%s\n", cases[i].what);
		edge(EDGE_REFUSES);
		atomic_store(&room.acknowledges_after, cases[i].refusals);
		str_fmt(body, sizeof body, MAPPING("%s"), cases[i].more);
		m = call("admin", "POST", "/api/v1/mappings", body, 201);
		assert_string_equal(text_in(m, "status"), cases[i].status);
		assert_int_equal(number_in(m, "version"), cases[i].version);
		if (cases[i].ports > 1)
			assert_int_equal(
				number_in(m, "source_port_end"), number_in(m, "source_port") + cases[i].ports - 1);
		str_copy(id, sizeof id, text_in(m, "id"));
		assert_int_equal(placed(id).conf.port_first, number_in(m, "source_port"));
		json_decref(m);
		edge(EDGE_AWAY);
		call_only("admin", "DELETE", path_of(id), NULL, 204);
		str_fmt(held, sizeof held, MAPPING(",\"source_port\":10000,\"source_port_count\":10"));
		create("admin", held, id); /* every port of the others is free again */
		call_only("admin", "DELETE", path_of(id), NULL, 204);
	}
}

static void say(const char *id, bool refuses)
{
	const struct mapping_refusal r = { id, placed(id).seq, ERR_ADDR_IN_USE, "address already in use" };

	mapping_statuses_node(room.statuses, "node_1", "edge-1", "grp_1", true, r.seq, &r, refuses);
}

static void tick_in(int64_t ms)
{
	struct err e;

	TEST_STORE_MUST(tunnels_tick(room.tunnels, clock_wall_ms() + ms, &e), e);
}

static void tick(void)
{
	tick_in(0);
}

/* The relays say their word after the create was answered. */
static void picked_ports_move_later_but_not_once_they_served(void **state)
{
	char id[PROTO_ID_SIZE], asked[PROTO_ID_SIZE];
	uint16_t first, second;

	(void)state;
	edge(EDGE_AWAY);
	create("admin", MAPPING(""), id);
	create("admin", MAPPING(",\"source_port\":9000"), asked);
	first = placed(id).conf.port_first;
	tick();
	assert_int_equal(placed(id).conf.port_first, first); /* nobody said anything */
	say(id, true);
	tick();
	second = placed(id).conf.port_first;
	assert_int_not_equal(second, first);
	say(id, false);
	tick_in(MAPPING_SETTLE_MS);
	say(id, true);
	tick();
	assert_int_equal(placed(id).conf.port_first, second);
	say(asked, true);
	tick();
	assert_int_equal(placed(asked).conf.port_first, 9000);
}

/* A relay has the next ports before the agent on whose machine they are has tried them, and lists what it said of those before. */
static void picked_ports_wait_for_the_word_of_an_agent(void **state)
{
	const struct mapping_refusal *none = NULL;
	char id[PROTO_ID_SIZE];
	struct mapping_refusal old;
	uint16_t port;

	(void)state;
	edge(EDGE_AWAY);
	create("admin", MAPPING(""), id);
	old = (struct mapping_refusal){ id, placed(id).seq, ERR_ADDR_IN_USE, "an agent cannot listen" };
	say(id, true);
	tick();
	port = placed(id).conf.port_first;
	mapping_statuses_node(room.statuses, "node_1", "edge-1", "grp_1", true, placed(id).seq, &old, 1);
	tick();
	assert_int_equal(placed(id).conf.port_first, port); /* not tried yet */
	mapping_statuses_node(room.statuses, "node_1", "edge-1", "grp_1", true, placed(id).seq, none, 0);
	tick();
	say(id, true);
	tick();
	assert_int_not_equal(placed(id).conf.port_first, port); /* tried, after the relay had had it */
}

static void update_changes_what_is_sent(void **state)
{
	char id[PROTO_ID_SIZE], free_now[80];
	json_t *m;

	(void)state;
	create("admin", MAPPING(",\"source_port\":100,\"name\":\"a\",\"limits\":{\"max_connections\":5}"), id);
	m = call("admin", "PUT", path_of(id), "{\"name\":\"b\",\"source_port\":101}", 200);
	assert_string_equal(text_in(m, "name"), "b");
	assert_int_equal(number_in(m, "source_port"), 101);
	assert_int_equal(number_in(json_object_get(m, "limits"), "max_connections"), 5);
	assert_int_equal(number_in(m, "version"), 2);
	json_decref(m);
	call_only("admin", "PUT", path_of(id), "{\"name\":\"b\"}", 200);
	room.client.if_match = "\"v2\"";
	call_only("admin", "PUT", path_of(id), "{\"name\":\"c\"}", 200); /* what changed nothing is no version */
	room.client.if_match = "\"v2\"";
	call_only("admin", "PUT", path_of(id), "{\"name\":\"d\"}", 412);
	room.client.if_match = "\"v2\"";
	call_only("admin", "DELETE", path_of(id), NULL, 412);
	str_fmt(free_now, sizeof free_now, MAPPING(",\"source_port\":100"));
	call_only("admin", "POST", "/api/v1/mappings", free_now, 201);
	call_only("admin", "PUT", path_of(id), "{\"source_port\":100}", 409);
	m = call("admin", "GET", path_of(id), NULL, 200);
	assert_int_equal(number_in(m, "source_port"), 101); /* a refused update leaves all as it was */
	assert_int_equal(number_in(m, "version"), 3);
	json_decref(m);
}

static int collect(const struct change *c, void *arg)
{
	struct buf *b = arg;

	if (str_eq(c->kind, "mapping"))
		buf_printf(b, "%s(%s) by %s%s;", c->op, c->fields, c->actor,
			c->request_id[0] != '\0' ? "" : " without request");
	return 0;
}

static void every_change_is_logged(void **state)
{
	char id[PROTO_ID_SIZE];
	struct buf b;
	struct db *db;
	struct err e;

	(void)state;
	create("op", MAPPING(""), id);
	call_only("op", "PUT", path_of(id), "{\"status\":\"inactive\",\"limits\":{\"bandwidth_in\":1}}", 200);
	call_only("op", "PUT", path_of(id), "{\"status\":\"inactive\"}", 200);
	call_only("admin", "DELETE", path_of(id), NULL, 204);
	call_only("admin", "DELETE", path_of(id), NULL, 404);
	buf_init(&b, 1000);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(changes_read(db, 0, 100, NULL, collect, &b, &e), e);
	store_read_end(db);
	assert_string_equal(buf_cstr(&b), "create() by usr_op;update(status,limits) by usr_op;delete() by usr_admin;");
	buf_free(&b);
}

static void a_tenant_is_a_wall(void **state)
{
	char id[PROTO_ID_SIZE], path[160];
	json_t *list;

	(void)state;
	create("admin", MAPPING(""), id);
	call_only("blue", "GET", path_of(id), NULL, 404);
	call_only("blue", "PUT", path_of(id), "{\"name\":\"x\"}", 404);
	call_only("blue", "DELETE", path_of(id), NULL, 404);
	str_fmt(path, sizeof path, "%s/connections", path_of(id));
	call_only("blue", "GET", path, NULL, 404);
	str_fmt(path, sizeof path, "/api/v1/connections?mapping_id=%s", id);
	call_only("blue", "GET", path, NULL, 404);
	str_fmt(path, sizeof path, "/api/v1/connections/node_1.%s.1", id);
	call_only("blue", "DELETE", path, NULL, 404);
	str_fmt(path, sizeof path, "/api/v1/stats/mappings/%s", id);
	call_only("blue", "GET", path, NULL, 404);
	call_only("blue", "GET", "/api/v1/stats/users/usr_op", NULL, 404);
	call_only("blue", "GET", "/api/v1/stats/system", NULL, 403);
	list = call("blue", "GET", "/api/v1/mappings", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(list, "items")), 0);
	json_decref(list);
}

static void what_a_relay_is_told(void **state)
{
	char id[PROTO_ID_SIZE];
	struct mapping_placed p;

	(void)state;
	create("op", MAPPING(",\"node\":\"edge-1\",\"on_delete\":\"keep\""), id);
	p = placed(id);
	assert_true(p.present && p.conf.enabled && !p.conf.dial_any);
	assert_string_equal(p.group_id, "grp_1");
	assert_string_equal(p.node_id, "node_1");
	assert_int_equal(p.conf.dial_allow.n, 1);
	assert_int_equal(p.conf.on_delete, MAPPING_KEEP);
	assert_true(p.seq > 0);
	run_sql("UPDATE users SET status = 'suspended' WHERE id = 'usr_op'");
	assert_true(placed(id).present && !placed(id).conf.enabled); /* cut, not kept */
	run_sql("UPDATE users SET status = 'active' WHERE id = 'usr_op'");
	run_sql("UPDATE tenants SET status = 'suspended' WHERE id = 'red'");
	assert_false(placed(id).conf.enabled);
	run_sql("UPDATE tenants SET status = 'active' WHERE id = 'red'");
	call_only("op", "PUT", path_of(id), "{\"status\":\"inactive\"}", 200);
	assert_false(placed(id).present);
	call_only("op", "PUT", path_of(id), "{\"status\":\"active\"}", 200);
	run_sql("UPDATE mappings SET expires_ms = 1");
	assert_false(placed(id).present);
	run_sql("DELETE FROM mappings");
	assert_false(placed(id).present);
	assert_string_equal(placed(id).id, id);
}

/* A user that goes: off at once, and a tick later nothing is left but what was used. */
static void mappings_of_a_deleted_user_go(void **state)
{
	const struct erase_owner owner = { .id = "usr_op", .now_ms = clock_wall_ms() };
	char id[PROTO_ID_SIZE], kept[PROTO_ID_SIZE], path[160];
	struct err e;

	(void)state;
	create("op", MAPPING(",\"source_port\":900"), id);
	create("admin", MAPPING(""), kept);
	run_sql("UPDATE users SET status = 'deleting' WHERE id = 'usr_op'");
	assert_false(placed(id).conf.enabled);
	TEST_STORE_MUST(eraser_erase(room.server.store.store, &owner, NULL, &e), e);
	assert_false(placed(id).present);
	assert_true(placed(kept).present);
	call_only("admin", "POST", "/api/v1/mappings", MAPPING(",\"source_port\":900"), 201);
	str_fmt(path, sizeof path, "/api/v1/stats/mappings/%s", id);
	call_only("admin", "GET", path, NULL, 200);
}

/* Who writes the target decides what may be dialled. */
static void the_right_to_dial(void **state)
{
	char id[PROTO_ID_SIZE];

	(void)state;
	create("admin", "{\"protocol\":\"tcp\",\"target_host\":\"127.0.0.1\",\"target_port\":1}", id);
	assert_true(placed(id).conf.dial_any);
	call_only("op", "PUT", path_of(id), "{\"name\":\"mine\"}", 200);
	assert_true(placed(id).conf.dial_any);
	call_only("op", "PUT", path_of(id), "{\"target_port\":2}", 403);
	call_only("op", "PUT", path_of(id), "{\"target_host\":\"10.0.0.9\"}", 200);
	assert_false(placed(id).conf.dial_any);
	call_only("admin", "PUT", path_of(id), "{\"target_host\":\"localhost\"}", 200);
	assert_true(placed(id).conf.dial_any);
}

/* The right to dial is one for these ports, from these relays. */
static void the_right_to_dial_does_not_spread(void **state)
{
	char id[PROTO_ID_SIZE];

	(void)state;
	create("admin",
		"{\"protocol\":\"tcp\",\"source_port\":900,\"source_port_end\":901,\"target_host\":\"127.0.0.1\","
		"\"target_port\":1}",
		id);
	call_only("op", "PUT", path_of(id), "{\"source_port_end\":910}", 403);
	call_only("op", "PUT", path_of(id), "{\"group\":\"eu\"}", 403);
	call_only("op", "PUT", path_of(id), "{\"node\":\"edge-1\"}", 403);
	assert_true(placed(id).conf.dial_any);
	call_only("op", "PUT", path_of(id), "{\"source_port\":950,\"source_port_end\":950}", 200);
	assert_true(placed(id).conf.dial_any);
	call_only("admin", "PUT", path_of(id), "{\"source_port_end\":960,\"group\":\"eu\"}", 200);
	assert_true(placed(id).conf.dial_any);

	create("op", "{\"protocol\":\"tcp\",\"target_host\":\"localhost\",\"target_port\":1}", id);
	call_only("admin", "PUT", path_of(id), "{\"target_port\":2,\"group\":\"eu\"}", 200);
	assert_false(placed(id).conf.dial_any); /* the host is not his */
}

static size_t items_of(const char *query)
{
	char path[160];
	json_t *list;
	size_t n;

	str_fmt(path, sizeof path, "/api/v1/mappings%s", query);
	list = call("admin", "GET", path, NULL, 200);
	n = json_array_size(json_object_get(list, "items"));
	json_decref(list);
	return n;
}

static void lists_are_filtered(void **state)
{
	static const struct {
		const char *query;
		size_t n;
	} cases[] = {
		{ "", 4 },
		{ "?user_id=usr_op", 1 },
		{ "?user_id=usr_blue", 0 },
		{ "?protocol=udp", 1 },
		{ "?type=standard", 4 },
		{ "?group=eu", 1 },
		{ "?group=grp_1", 3 },
		{ "?node=edge-1", 1 },
		{ "?node=node_1", 1 },
		{ "?q=we", 1 },
		{ "?q=10.1", 3 },
		{ "?q=%25", 0 },
		{ "?q=eb", 0 },
		{ "?status=inactive", 1 },
		{ "?status=active", 2 }, /* in grp_1, where a relay has them */
		{ "?status=pending", 1 },
		{ "?status=error", 0 },
		{ "?status=active&limit=1", 1 },
	};
	char id[PROTO_ID_SIZE];

	(void)state;
	create("admin", MAPPING(",\"name\":\"Web\",\"node\":\"edge-1\""), id);
	create("op", MAPPING(""), id);
	create("admin", MAPPING(",\"group\":\"eu\""), id);
	create("admin",
		"{\"protocol\":\"udp\",\"target_host\":\"dns.example\",\"target_port\":53,\"status\":\"inactive\"}",
		id);
	mapping_statuses_node(room.statuses, "node_1", "edge-1", "grp_1", true, INT64_MAX, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].query);
		assert_int_equal(items_of(cases[i].query), cases[i].n);
	}
	call_only("admin", "GET", "/api/v1/mappings?status=broken", NULL, 422);
}

static void pages_hold_everything_once(void **state)
{
	char id[PROTO_ID_SIZE], path[160] = "/api/v1/mappings?limit=2";
	size_t seen = 0, pages = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		create("admin", MAPPING(""), id);
	while (path[0] != '\0') {
		json_t *list = call("admin", "GET", path, NULL, 200);
		const char *next = json_string_value(json_object_get(list, "next_cursor"));

		seen += json_array_size(json_object_get(list, "items"));
		pages++;
		path[0] = '\0';
		if (next != NULL)
			str_fmt(path, sizeof path, "/api/v1/mappings?limit=2&cursor=%s", next);
		json_decref(list);
	}
	assert_int_equal(seen, 5);
	assert_int_equal(pages, 3);
}

/* ---- connections and statistics ------------------------------------------------------------------------------------ */
static void add_conn(const char *mapping, uint64_t number)
{
	struct relay_conn *c = &room.conns[room.n_conns++];

	str_copy(c->node_id, sizeof c->node_id, "node_1");
	str_copy(c->node_name, sizeof c->node_name, "edge-1");
	str_copy(c->info.mapping, sizeof c->info.mapping, mapping);
	str_copy(c->info.remote, sizeof c->info.remote, "192.0.2.1:5000");
	c->info.id = number;
	c->info.protocol = MAPPING_TCP;
	c->info.bytes_in = 7;
	c->info.opened_ms = 1000;
}

static void connections_of_the_own_tenant(void **state)
{
	char id[PROTO_ID_SIZE], foreign[PROTO_ID_SIZE], path[160];
	const json_t *items;
	json_t *list;

	(void)state;
	create("admin", MAPPING(""), id);
	create("blue", "{\"protocol\":\"tcp\",\"target_host\":\"h\",\"target_port\":1}", foreign);
	add_conn(id, 11);
	add_conn(foreign, 12);
	list = call("viewer", "GET", "/api/v1/connections", NULL, 200);
	items = json_object_get(list, "items");
	assert_int_equal(json_array_size(items), 1);
	assert_string_equal(text_in(json_array_get(items, 0), "remote_addr"), "192.0.2.1:5000");
	assert_int_equal(number_in(json_array_get(items, 0), "bytes_received"), 7);
	assert_true(json_is_true(json_object_get(list, "complete")));
	assert_string_equal(room.asked, "|||1000");
	str_fmt(path, sizeof path, "/api/v1/connections/%s", text_in(json_array_get(items, 0), "id"));
	json_decref(list);

	call_only("blue", "DELETE", path, NULL, 404);
	call_only("viewer", "DELETE", path, NULL, 403);
	room.cut = 1;
	call_only("op", "DELETE", path, NULL, 204);
	assert_string_equal(room.asked, "node_1");
	assert_int_equal(room.cut_conn, 11);
	room.cut = 0;
	call_only("op", "DELETE", path, NULL, 404);                         /* it ended meanwhile */
	str_fmt(path, sizeof path, "/api/v1/connections/node_1.%s.12", id); /* a number of somebody else */
	room.cut = 1;
	call_only("op", "DELETE", path, NULL, 404);
	call_only("op", "DELETE", "/api/v1/connections/nonsense", NULL, 404);

	str_fmt(path, sizeof path, "%s/connections?limit=5", path_of(id));
	call_only("op", "GET", path, NULL, 200);
	str_fmt(path, sizeof path, "grp_1||%s|5", id);
	assert_string_equal(room.asked, path);
	call_only("op", "GET", "/api/v1/connections?group=eu&node=edge-1", NULL, 200);
	assert_string_equal(room.asked, "grp_2|node_1||1000");
}

static void a_relay_that_does_not_answer(void **state)
{
	json_t *list;

	(void)state;
	room.incomplete = true;
	list = call("admin", "GET", "/api/v1/connections", NULL, 200); /* after the time is over */
	assert_true(json_is_false(json_object_get(list, "complete")));
	json_decref(list);
}

static int work_report(struct db *tx, void *arg, struct err *e)
{
	struct msg_report head = { .number = 1 }, r;
	struct traffic_report one = { .node_id = "node_1", .m = &r };
	struct meter_row row = { .slot = 1 };
	struct buf b;
	size_t count_at;
	int rc;

	str_copy(head.boot, sizeof head.boot, "boot");
	str_copy(row.object, sizeof row.object, arg);
	row.value[METER_bytes_in] = 1000;
	row.value[METER_bytes_out] = 20;
	row.value[METER_opened] = 3;
	row.value[METER_refused_cidr] = 4;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &head, &count_at);
	msg_report_row(&b, &row);
	msg_report_end(&b, count_at, 1);
	assert_int_equal(msg_report_decode(&r, b.data, b.len), 0);
	rc = placement_note_node(tx, "node_1", "grp_1", e);
	if (rc == 0)
		rc = traffic_store_reports(tx, &one, 1, clock_wall_ms(), e);
	msg_report_fini(&r);
	buf_free(&b);
	return rc;
}

static void statistics(void **state)
{
	static const struct {
		const char *path;
		const char *member;
	} cases[] = {
		{ "/api/v1/stats/traffic?time_range=1h", "total_mappings" },
		{ "/api/v1/stats/connections?time_range=24h", "total_traffic" },
		{ "/api/v1/stats/system", "total_users" },
		{ "/api/v1/stats/users/usr_op?time_range=7d", "user_id" },
		{ "/api/v1/stats/nodes/node_1?time_range=30d", "node_id" },
		{ NULL, "mapping_id" },
	};
	char id[PROTO_ID_SIZE], path[160];
	json_t *m;
	struct err e;

	(void)state;
	create("op", MAPPING(""), id);
	TEST_STORE_MUST(store_write(room.server.store.store, STORE_OPERATIONAL, work_report, id, &e), e);
	TEST_STORE_MUST(tunnels_tick(room.tunnels, clock_wall_ms(), &e), e);
	str_fmt(path, sizeof path, "/api/v1/stats/mappings/%s", id);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *s = call("admin", "GET", cases[i].path != NULL ? cases[i].path : path, NULL, 200);
		const json_t *points = json_object_get(s, "points");
		long long sum = 0;

		print_message("%s\n", cases[i].path != NULL ? cases[i].path : path);
		assert_non_null(json_object_get(s, cases[i].member));
		for (size_t k = 0; k < json_array_size(points); k++)
			sum += number_in(json_array_get(points, k), "bytes_received");
		assert_int_equal(sum, 1000);
		assert_int_equal(number_in(json_array_get(points, json_array_size(points) - 1), "connections"), 3);
		json_decref(s);
	}
	m = call("op", "GET", path_of(id), NULL, 200);
	assert_int_equal(number_in(json_object_get(m, "traffic_stats"), "bytes_received"), 1000);
	assert_int_equal(number_in(json_object_get(m, "traffic_stats"), "connections_refused"), 4);
	json_decref(m);
	call_only("admin", "DELETE", path_of(id), NULL, 204);
	call_only("admin", "GET", path, NULL, 200); /* what was used stays used */
	call_only("admin", "GET", "/api/v1/stats/nodes/moon", NULL, 404);
	call_only("admin", "GET", "/api/v1/stats/traffic?time_range=1y", NULL, 422);
	call_only("admin", "GET", "/api/v1/stats/traffic?time_range=1h&from=2026-01-01T00:00:00Z", NULL, 422);
	call_only("admin", "GET", "/api/v1/stats/traffic?from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z", NULL, 200);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(create_answers_with_all_members),
		SEQUENCE(create_waits_for_the_relays),
		cmocka_unit_test_setup_teardown(create_waits_not_for_ever, setup_hasty, teardown),
		SEQUENCE(refusals_of_a_create),
		SEQUENCE(all_that_is_wrong_is_named_at_once),
		SEQUENCE(ports_and_mappings_run_out),
		SEQUENCE(picked_ports_move_until_a_relay_has_them),
		SEQUENCE(picked_ports_move_later_but_not_once_they_served),
		SEQUENCE(picked_ports_wait_for_the_word_of_an_agent),
		SEQUENCE(update_changes_what_is_sent),
		SEQUENCE(every_change_is_logged),
		SEQUENCE(a_tenant_is_a_wall),
		SEQUENCE(what_a_relay_is_told),
		SEQUENCE(mappings_of_a_deleted_user_go),
		SEQUENCE(the_right_to_dial),
		SEQUENCE(the_right_to_dial_does_not_spread),
		SEQUENCE(lists_are_filtered),
		SEQUENCE(pages_hold_everything_once),
		SEQUENCE(connections_of_the_own_tenant),
		SEQUENCE(a_relay_that_does_not_answer),
		SEQUENCE(statistics),
	};

	log_init("test_tunnels_api", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
