/*
 * The clients room behind the real server, with tunnels beside it: clients from the request to the row and the log, their
 * secrets, the wall between tenants, mappings that they serve, how they end. No relay is there.
 *
 * Callers: "admin" (tenant red, system_admin), "op", "viewer" (red), "boss" (red, administrator), "blue" (owner of blue).
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/clients/client.h"
#include "controld/clients/client_seen.h"
#include "controld/clients/clients.h"
#include "controld/eraser.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_client.h"
#include "tests/unit/lib/test_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLIENTS "/api/v1/clients"

static struct room {
	struct test_server server;
	struct test_client client;
	struct store *samples;
	struct client_statuses *client_statuses;
	struct clients *clients;
	struct mapping_statuses *statuses;
	struct tunnels *tunnels;
} room;

static int resolve(void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e)
{
	static const struct identity who[] = {
		{ "usr_admin", "usr_admin", "red", "", ROLE_OWNER, true, false, "" },
		{ "usr_boss", "usr_boss", "red", "", ROLE_ADMIN, false, false, "" },
		{ "usr_op", "usr_op", "red", "", ROLE_OPERATOR, false, false, "" },
		{ "usr_viewer", "usr_viewer", "red", "", ROLE_VIEWER, false, false, "" },
		{ "usr_blue", "usr_blue", "blue", "", ROLE_OWNER, false, false, "" },
	};

	(void)self;
	(void)api_key;
	for (size_t i = 0; i < ARRAY_LEN(who); i++)
		if (authorization != NULL &&
			str_eq(authorization + strlen("Bearer "), who[i].user_id + strlen("usr_"))) {
			*out = who[i];
			return 0;
		}
	return err_set(e, ERR_INVALID_TOKEN, NULL, "nobody");
}

/* The groups grp_default and, for "eu", grp_eu. */
static int place(void *self, struct db *db, const char *group, const char *node, char group_id[PROTO_ID_SIZE],
	char node_id[PROTO_ID_SIZE], struct err *e)
{
	(void)self, (void)db, (void)node, (void)e;
	node_id[0] = '\0';
	return str_copy(group_id, PROTO_ID_SIZE, str_eq(group, "eu") ? "grp_eu" : "grp_default");
}

static int ask_list(void *self, const char *group_id, const char *node_id, const char *mapping_id, uint32_t limit,
	uint64_t *ask, struct err *e)
{
	(void)self, (void)group_id, (void)node_id, (void)mapping_id, (void)limit, (void)e;
	*ask = 1;
	return 0;
}

static char connection_of[PROTO_ID_SIZE]; /* the mapping of the one connection that the relays have */

static int result(void *self, uint64_t ask, struct relay_answers *out, struct err *e)
{
	(void)self, (void)ask, (void)e;
	*out = (struct relay_answers){ .complete = true, .n = 1, .conns = calloc(1, sizeof *out->conns) };
	str_copy(out->conns[0].node_id, sizeof out->conns[0].node_id, "node_1");
	str_copy(out->conns[0].info.mapping, sizeof out->conns[0].info.mapping, connection_of);
	return 0;
}

static void forget(void *self, uint64_t ask)
{
	(void)self, (void)ask;
}

static const struct relays_ops relays_ops = { place, NULL, NULL, ask_list, NULL, result, forget, NULL };

static int work_sql(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static void run_sql(const char *sql)
{
	struct err e;

	TEST_STORE_MUST(
		store_write(room.server.store.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t)sql, &e), e);
}

static int64_t number_of(const char *sql)
{
	struct query *q;
	struct db *db;
	struct err e;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql, &e), e);
	n = query_next(q, &e) == 1 ? query_int(q, 0) : -1;
	query_end(q);
	store_read_end(db);
	return n;
}

static void insert_people(void)
{
	run_sql("INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		"updated_ms) VALUES ('red', 'red', 'red', 'red', 'active', '[]', 1, 0, 0), ('blue', 'blue', 'blue', "
		"'blue', 'active', '[]', 1, 0, 0)");
	run_sql("INSERT INTO users (id, tenant_id, email, email_key, username, username_key, password_hash, "
		"first_name, last_name, status, system_admin, version, created_ms, updated_ms, last_login_ms) VALUES "
		"('usr_admin', 'red', 'a', 'a', 'a', 'a', '', '', '', 'active', 1, 1, 0, 0, 0), "
		"('usr_boss', 'red', 's', 's', 's', 's', '', '', '', 'active', 0, 1, 0, 0, 0), "
		"('usr_op', 'red', 'o', 'o', 'o', 'o', '', '', '', 'active', 0, 1, 0, 0, 0), "
		"('usr_blue', 'blue', 'b', 'b', 'b', 'b', '', '', '', 'active', 0, 1, 0, 0, 0)");
	run_sql("INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES ('red', 'usr_admin', 'owner', "
		"0), "
		"('red', 'usr_boss', 'admin', 0), ('red', 'usr_op', 'operator', 0), ('blue', 'usr_blue', 'owner', 0)");
}

static void open_samples(void)
{
	const struct store_conf conf = { .url = "sqlite::memory:", .readers = 1, .group_max = 4, .wait_ms = 10000 };
	struct err e;

	TEST_STORE_MUST(store_open(&room.samples, &conf, &e), e);
	TEST_STORE_MUST(migrate_apply(room.samples, &migrations_samples, NULL, &e), e);
}

static int setup(void **state)
{
	static const struct authenticator auth = { .resolve = resolve };
	static const struct relays relays = { &relays_ops, NULL };
	struct tunnels_conf conf = { .port_min = 10000, .port_max = 10099 };
	struct clients_conf clients = { .clients_max = 6 };
	struct store *store;
	struct server *s;
	struct err e;

	(void)state;
	memset(&room, 0, sizeof room);
	test_server_open(&room.server, &auth);
	s = room.server.server;
	store = room.server.store.store;
	insert_people();
	open_samples();
	TEST_STORE_MUST(client_statuses_new(&room.client_statuses, &e), e);
	clients.statuses = conf.clients = room.client_statuses;
	conf.samples = room.samples;
	TEST_STORE_MUST(clients_new(&room.clients, &clients, store, &e), e);
	TEST_STORE_MUST(mapping_statuses_new(&room.statuses, server_parks(s), &e), e);
	TEST_STORE_MUST(tunnels_new(&room.tunnels, &conf, store, server_parks(s), room.statuses, &relays, &e), e);
	TEST_STORE_MUST(server_add_routes(s, clients_routes(room.clients), &e), e);
	TEST_STORE_MUST(server_add_routes(s, tunnels_routes(room.tunnels), &e), e);
	test_server_start(&room.server);
	room.client.port = server_port(s);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_server_stop(&room.server);
	tunnels_free(room.tunnels);
	mapping_statuses_free(room.statuses);
	clients_free(room.clients);
	client_statuses_free(room.client_statuses);
	store_close(room.samples);
	test_server_close(&room.server);
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static json_t *call(const char *who, const char *method, const char *path, const char *body, int want)
{
	json_t *answer = NULL;
	const int status = test_client(&room.client, who, method, path, body, &answer);

	if (status != want) {
		char *text = json_dumps(answer, 0);

		fail_msg("%s %s as %s: %d, wanted %d: %s", method, path, who, status, want, text != NULL ? text : "");
	}
	return answer;
}

static void call_only(const char *who, const char *method, const char *path, const char *body, int want)
{
	json_decref(call(who, method, path, body, want));
}

static const char *text_in(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

static long long number_in(const json_t *o, const char *name)
{
	return (long long)json_integer_value(json_object_get(o, name));
}

static void keep_secret(const json_t *o, char secret[64])
{
	assert_int_equal(str_copy(secret, 64, text_in(o, "secret_key")), 0);
}

static long long create(const char *who, const char *body)
{
	json_t *o = call(who, "POST", CLIENTS, body, 201);
	const long long id = number_in(o, "id");

	json_decref(o);
	return id;
}

static const char *path_of(long long id, const char *more)
{
	static char path[128];

	str_fmt(path, sizeof path, CLIENTS "/%lld%s", id, more);
	return path;
}

static size_t count_in_list(const char *who, const char *path)
{
	json_t *o = call(who, "GET", path, NULL, 200);
	const size_t n = json_array_size(json_object_get(o, "items"));

	json_decref(o);
	return n;
}

static void tick(void)
{
	struct err e;

	TEST_STORE_MUST(clients_tick(room.clients, clock_wall_ms(), &e), e);
	TEST_STORE_MUST(tunnels_tick(room.tunnels, clock_wall_ms(), &e), e);
	TEST_STORE_MUST(clients_tick(room.clients, clock_wall_ms(), &e), e);
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

static void create_answers_with_all_members(void **state)
{
	static const char *const members[] = { "id", "tenant_id", "user_id", "name", "type", "enabled", "single",
		"auth_code", "secrets", "status", "node_id", "last_seen", "instances", "config", "expires_at",
		"version", "created_at", "updated_at" };
	json_t *o = call("op", "POST", CLIENTS, "{\"name\":\"box\",\"config\":{\"max_connections\":3}}", 201);
	char secret[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_object_get(o, members[i]) == NULL)
			fail_msg("no %s", members[i]);
	keep_secret(o, secret);
	assert_true(str_starts(secret, "pws_"));
	assert_in_range(number_in(o, "id"), 1000000000, 9999999999);
	assert_string_equal(text_in(o, "type"), "registered");
	assert_string_equal(text_in(o, "status"), "offline");
	assert_string_equal(text_in(o, "user_id"), "usr_op");
	assert_int_equal(number_in(json_object_get(o, "config"), "max_connections"), 3);
	assert_non_null(strstr(room.client.headers, "\"v1\""));
	json_decref(o);
	/* nowhere else */
	assert_int_equal(number_of("SELECT count(*) FROM changes WHERE object LIKE '%pws!_%' ESCAPE '!'"), 0);
	assert_int_equal(number_of("SELECT count(*) FROM clients WHERE keys LIKE '%pws!_%' ESCAPE '!'"), 0);
	assert_int_equal(number_of("SELECT count(*) FROM changes WHERE kind = 'client' AND op = 'create'"), 1);
	o = call("viewer", "GET", CLIENTS, NULL, 200);
	assert_null(json_object_get(json_array_get(json_object_get(o, "items"), 0), "secret_key"));
	json_decref(o);
}

static void refusals(void **state)
{
	static const struct {
		const char *what, *who, *body, *code;
		int status;
	} cases[] = {
		{ "viewers may not", "viewer", "{}", "INSUFFICIENT_PERMISSIONS", 403 },
		{ "a member that is none", "op", "{\"nmae\":\"x\"}", "VALIDATION_ERROR", 422 },
		{ "a bad config", "op", "{\"config\":{\"allowed_ports\":[0]}}", "VALIDATION_ERROR", 422 },
		{ "an id of one's own", "op", "{\"id\":5}", "INSUFFICIENT_PERMISSIONS", 403 },
		{ "an id that is taken", "admin", "{\"id\":77}", "CLIENT_ALREADY_EXISTS", 409 },
		{ "for another user", "op", "{\"user_id\":\"usr_boss\"}", "INSUFFICIENT_PERMISSIONS", 403 },
		{ "for another tenant's user", "boss", "{\"user_id\":\"usr_blue\"}", "VALIDATION_ERROR", 422 },
	};

	(void)state;
	assert_int_equal(create("admin", "{\"id\":77}"), 77);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *answer;

		print_message("%s\n", cases[i].what);
		answer = call(cases[i].who, "POST", CLIENTS, cases[i].body, cases[i].status);
		assert_string_equal(text_in(answer, "code"), cases[i].code);
		json_decref(answer);
	}
	for (int i = 1; i < 6; i++)
		create("boss", "{\"user_id\":\"usr_op\"}");
	call_only("boss", "POST", CLIENTS, "{}", 409); /* six, which is the most */
	create("blue", "{}");
}

static void update_changes_what_is_sent(void **state)
{
	const long long id = create("op", "{\"name\":\"a\",\"config\":{\"max_connections\":3}}");
	json_t *o;

	(void)state;
	o = call("op", "PUT", path_of(id, ""), "{\"name\":\"b\",\"single\":true,\"config\":{\"bandwidth_limit\":9}}",
		200);
	assert_string_equal(text_in(o, "name"), "b");
	assert_true(json_is_true(json_object_get(o, "single")));
	assert_int_equal(number_in(json_object_get(o, "config"), "max_connections"), 3);
	assert_int_equal(number_in(json_object_get(o, "config"), "bandwidth_limit"), 9);
	assert_int_equal(number_in(o, "version"), 2);
	assert_null(json_object_get(o, "secret_key"));
	call_only("op", "PUT", path_of(id, ""), "{\"name\":\"b\"}", 200); /* nothing new */
	json_decref(o);
	o = call("op", "GET", path_of(id, ""), NULL, 200);
	assert_int_equal(number_in(o, "version"), 2);
	json_object_del(o, "instances");
	room.client.if_match = "\"v1\"";
	call_only("op", "PUT", path_of(id, ""), "{\"name\":\"c\"}", 412);
	room.client.if_match = "\"v2\"";
	call_only("op", "PUT", path_of(id, ""), "{\"name\":\"c\"}", 200);
	json_decref(o);
	assert_int_equal(number_of("SELECT count(*) FROM changes WHERE kind = 'client' AND op = 'update' AND fields = "
				   "'name,single,config'"),
		1);
	call_only("op", "PUT", path_of(id, ""), "{\"user_id\":\"usr_boss\"}", 403);
	call_only("boss", "PUT", path_of(id, ""), "{\"user_id\":\"usr_boss\"}", 200);
}

static void config_is_a_resource(void **state)
{
	const long long id = create("op", "{}");
	json_t *o;

	(void)state;
	o = call("viewer", "GET", path_of(id, "/config"), NULL, 200);
	assert_int_equal(number_in(o, "heartbeat_interval"), 5);
	json_decref(o);
	call_only("viewer", "PUT", path_of(id, "/config"), "{}", 403);
	call_only("op", "PUT", path_of(id, "/config"), "{\"heartbeat_interval\":1}", 422);
	o = call("op", "PUT", path_of(id, "/config"), "{\"blocked_ports\":[25,\"6000-6063\"]}", 200);
	assert_int_equal(json_array_size(json_object_get(o, "blocked_ports")), 2);
	assert_int_equal(number_in(o, "heartbeat_interval"), 5);
	json_decref(o);
	call_only("op", "GET", CLIENTS "/12345/config", NULL, 404);
}

static void all_that_is_wrong_is_named_at_once(void **state)
{
	static const struct {
		const char *method, *path, *body, *fields;
	} cases[] = {
		{ "POST", "",
			"{\"enabled\":3,\"expires_at\":\"2001-01-01T00:00:00Z\",\"config\":{\"heartbeat_interval\":1,"
			"\"blocked_ports\":[0]}}",
			"enabled config.heartbeat_interval expires_at config.blocked_ports" },
		{ "PUT", "", "{\"enabled\":3,\"config\":{\"allowed_ports\":[\"9-1\"],\"blocked_ports\":[70000]}}",
			"enabled config.allowed_ports config.blocked_ports" },
		{ "PUT", "/config", "{\"heartbeat_interval\":1,\"allowed_ports\":[\"x\"],\"size\":1}",
			"heartbeat_interval size allowed_ports" },
	};
	const long long id = create("op", "{}");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *path = str_eq(cases[i].method, "POST") ? CLIENTS : path_of(id, cases[i].path);
		json_t *e = call("op", cases[i].method, path, cases[i].body, 422);
		json_t *details = json_object_get(e, "details"), *one;
		char named[256] = "";
		size_t j;

		json_array_foreach(details, j, one) str_fmt(named + strlen(named), sizeof named - strlen(named), "%s%s",
			j > 0 ? " " : "", text_in(one, "field"));
		assert_string_equal(named, cases[i].fields);
		json_decref(e);
	}
}

static void secrets_are_replaced_with_an_overlap(void **state)
{
	char first[64], second[64], secret_id[64], path[160];
	json_t *o = call("op", "POST", CLIENTS, "{}", 201);
	const long long id = number_in(o, "id");
	const json_t *list;

	(void)state;
	keep_secret(o, first);
	json_decref(o);
	call_only("viewer", "POST", path_of(id, "/rotate-secret"), "{}", 403);
	o = call("op", "POST", path_of(id, "/rotate-secret"), "{\"overlap\":\"1h\"}", 200);
	keep_secret(o, second);
	assert_string_not_equal(first, second);
	list = json_object_get(o, "secrets");
	assert_int_equal(json_array_size(list), 2);
	assert_true(json_is_null(json_object_get(json_array_get(list, 0), "expires_at")));
	assert_true(json_is_string(json_object_get(json_array_get(list, 1), "expires_at")));
	str_copy(secret_id, sizeof secret_id, text_in(json_array_get(list, 1), "id"));
	json_decref(o);
	o = call("op", "GET", path_of(id, ""), NULL, 200);
	assert_null(json_object_get(o, "secret_key"));
	json_decref(o);
	call_only("op", "DELETE", path_of(id, "/secrets/sec_none"), NULL, 404);
	str_fmt(path, sizeof path, CLIENTS "/%lld/secrets/%s", id, secret_id);
	call_only("op", "DELETE", path, NULL, 204);
	call_only("op", "DELETE", path, NULL, 404);
	call_only("op", "POST", path_of(id, "/rotate-secret"), "{\"overlap\":\"99d\"}", 422);
	o = call("op", "POST", path_of(id, "/rotate-secret"), "{\"overlap\":0}", 200);
	assert_int_equal(json_array_size(json_object_get(o, "secrets")), 1);
	json_decref(o);
}

static void lists(void **state)
{
	char cursor[64], path[128];
	json_t *o;

	(void)state;
	create("op", "{\"name\":\"Web one\"}");
	create("op", "{\"name\":\"web two\"}");
	create("boss", "{\"name\":\"db_1\"}");
	create("blue", "{\"name\":\"web\"}");
	assert_int_equal(count_in_list("viewer", CLIENTS), 3);
	assert_int_equal(count_in_list("viewer", CLIENTS "?q=WEB"), 2);
	assert_int_equal(count_in_list("viewer", CLIENTS "?q=db_"), 1);
	assert_int_equal(count_in_list("viewer", CLIENTS "?q=db%25"), 0);
	assert_int_equal(count_in_list("viewer", CLIENTS "?user_id=usr_boss"), 1);
	assert_int_equal(count_in_list("viewer", CLIENTS "?type=anonymous"), 0);
	assert_int_equal(count_in_list("viewer", CLIENTS "?status=offline"), 3);
	assert_int_equal(count_in_list("viewer", CLIENTS "?status=online"), 0);
	o = call("viewer", "GET", CLIENTS "?limit=2", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(o, "items")), 2);
	str_copy(cursor, sizeof cursor, text_in(o, "next_cursor"));
	json_decref(o);
	str_fmt(path, sizeof path, CLIENTS "?limit=2&cursor=%s", cursor);
	o = call("viewer", "GET", path, NULL, 200);
	assert_int_equal(json_array_size(json_object_get(o, "items")), 1);
	assert_true(json_is_null(json_object_get(o, "next_cursor")));
	json_decref(o);
	call_only("viewer", "GET", CLIENTS "?cursor=zzz", NULL, 422);
}

static void the_wall(void **state)
{
	const long long id = create("blue", "{\"name\":\"theirs\"}");
	char body[128];

	(void)state;
	call_only("admin", "GET", path_of(id, ""), NULL, 404);
	call_only("op", "GET", path_of(id, "/config"), NULL, 404);
	call_only("op", "PUT", path_of(id, ""), "{\"name\":\"mine\"}", 404);
	call_only("op", "PUT", path_of(id, "/config"), "{}", 404);
	call_only("op", "POST", path_of(id, "/rotate-secret"), "{}", 404);
	call_only("op", "DELETE", path_of(id, ""), NULL, 404);
	call_only("op", "GET", path_of(id, "/mappings"), NULL, 404);
	call_only("op", "GET", path_of(id, "/connections"), NULL, 404);
	str_fmt(body, sizeof body, "/api/v1/stats/clients/%lld", id);
	call_only("op", "GET", body, NULL, 404);
	str_fmt(body, sizeof body, "{\"protocol\":\"tcp\",\"target_port\":1,\"target_client_id\":%lld}", id);
	call_only("op", "POST", "/api/v1/mappings", body, 422);
	call_only("blue", "GET", path_of(id, ""), NULL, 200);
}

/* ---- mappings ----------------------------------------------------------------------------------------------------- */

static json_t *create_mapping(const char *who, long long client, const char *more, int want)
{
	char body[256];

	str_fmt(body, sizeof body, "{\"protocol\":\"tcp\",\"target_port\":22,\"target_client_id\":%lld%s}", client,
		more);
	return call(who, "POST", "/api/v1/mappings", body, want);
}

static void a_client_serves_mappings(void **state)
{
	const long long id = create("op", "{}"), other = create("op", "{}");
	json_t *m = create_mapping("op", id, ",\"transport\":\"dedicated\",\"compression\":\"zstd\"", 201);
	char path[128], stats[64];
	json_t *o;

	(void)state;
	assert_int_equal(number_in(m, "target_client_id"), id);
	assert_string_equal(text_in(m, "target_host"), "127.0.0.1");
	assert_string_equal(text_in(m, "transport"), "dedicated");
	assert_string_equal(text_in(m, "compression"), "zstd");
	str_copy(connection_of, sizeof connection_of, text_in(m, "id"));
	str_fmt(path, sizeof path, "/api/v1/mappings/%s", text_in(m, "id"));
	assert_int_equal(count_in_list("viewer", path_of(id, "/mappings")), 1);
	assert_int_equal(count_in_list("viewer", path_of(other, "/mappings")), 0);
	assert_int_equal(count_in_list("viewer", path_of(other, "/connections")), 0);
	o = call("viewer", "GET", path_of(id, "/connections"), NULL, 200);
	assert_int_equal(number_in(json_array_get(json_object_get(o, "items"), 0), "client_id"), id);
	json_decref(o);
	str_fmt(stats, sizeof stats, "/api/v1/stats/clients/%lld", id);
	o = call("viewer", "GET", stats, NULL, 200);
	assert_int_equal(number_in(o, "client_id"), id);
	assert_int_equal(number_in(o, "total_mappings"), 1);
	json_decref(o);
	json_decref(m);

	/* by another agent, then by the relays themselves, who may not dial there */
	str_fmt(stats, sizeof stats, "{\"target_client_id\":%lld}", other);
	m = call("op", "PUT", path, stats, 200);
	assert_int_equal(number_in(m, "target_client_id"), other);
	json_decref(m);
	call_only("op", "PUT", path, "{\"target_client_id\":null,\"transport\":null,\"compression\":null}", 403);
	call_only("admin", "PUT", path, "{\"target_client_id\":null,\"transport\":null,\"compression\":null}", 200);
	call_only("op", "PUT", path, "{\"target_client_id\":12345}", 422);
}

static void ports_that_the_client_lets_through(void **state)
{
	const long long id = create("op", "{\"config\":{\"allowed_ports\":[\"20-30\"],\"blocked_ports\":[25]}}");
	json_t *o = create_mapping("op", id, ",\"source_port\":100,\"source_port_end\":104", 403);

	(void)state;
	assert_string_equal(text_in(o, "code"), "TARGET_NOT_ALLOWED");
	assert_non_null(strstr(text_in(o, "message"), "25"));
	json_decref(o);
	json_decref(create_mapping("op", id, ",\"source_port\":100,\"source_port_end\":102", 201));
	json_decref(create_mapping("op", id, ",\"source_client_id\":5", 422));
}

/* A client's row of the log moves when its set of groups does, so that relays hear of it. */
static void groups_of_a_client_are_logged(void **state)
{
	static const char moved[] = "SELECT count(*) FROM changes WHERE kind = 'client' AND fields = 'groups'";
	const long long id = create("op", "{}");
	char path[128];
	json_t *one, *two;

	(void)state;
	one = create_mapping("op", id, "", 201);
	assert_int_equal(number_of(moved), 1);
	two = create_mapping("op", id, "", 201);
	assert_int_equal(number_of(moved), 1);
	str_fmt(path, sizeof path, "/api/v1/mappings/%s", text_in(one, "id"));
	call_only("op", "PUT", path, "{\"group\":\"eu\"}", 200);
	assert_int_equal(number_of(moved), 2);
	call_only("op", "DELETE", path, NULL, 204);
	assert_int_equal(number_of(moved), 3);
	str_fmt(path, sizeof path, "/api/v1/mappings/%s", text_in(two, "id"));
	call_only("op", "PUT", path, "{\"name\":\"x\"}", 200);
	assert_int_equal(number_of(moved), 3);
	json_decref(one);
	json_decref(two);
}

static bool placed_enabled;

static int keep_enabled(const struct mapping_placed *m, void *arg)
{
	(void)arg;
	placed_enabled = m->present && m->conf.enabled;
	return 0;
}

static bool is_served(const char *mapping_id)
{
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(mapping_placed_get(db, mapping_id, keep_enabled, NULL, &e), e);
	store_read_end(db);
	return placed_enabled;
}

static void off_with_the_client(void **state)
{
	const long long id = create("op", "{}");
	json_t *m = create_mapping("boss", id, "", 201), *o;
	char mapping[PROTO_ID_SIZE], path[128];

	(void)state;
	str_copy(mapping, sizeof mapping, text_in(m, "id"));
	str_fmt(path, sizeof path, "/api/v1/mappings/%s", mapping);
	json_decref(m);
	assert_true(is_served(mapping));
	call_only("op", "PUT", path_of(id, ""), "{\"enabled\":false}", 200);
	assert_false(is_served(mapping));
	o = call("op", "GET", path, NULL, 200);
	assert_string_equal(text_in(o, "status"), "inactive");
	json_decref(o);
	call_only("op", "PUT", path_of(id, ""), "{\"enabled\":true}", 200);
	assert_true(is_served(mapping));
	run_sql("UPDATE users SET status = 'suspended' WHERE id = 'usr_op'");
	assert_false(is_served(mapping)); /* of the client's owner, not of its own */
	run_sql("UPDATE users SET status = 'active' WHERE id = 'usr_op'");
	call_only("op", "DELETE", path_of(id, ""), NULL, 204);
	assert_false(is_served(mapping));
	call_only("op", "GET", path_of(id, ""), NULL, 404);
	assert_int_equal(count_in_list("op", CLIENTS), 0);
	tick();
	call_only("op", "GET", path, NULL, 404);
	assert_int_equal(number_of("SELECT count(*) FROM clients"), 0);
	assert_int_equal(number_of("SELECT count(*) FROM changes WHERE kind = 'client' AND op = 'delete'"), 1);
}

static void owners_that_go_take_their_clients_along(void **state)
{
	const struct erase_owner user = { .id = "usr_op", .now_ms = clock_wall_ms() };
	const struct erase_owner tenant = { .tenant = true, .id = "blue", .now_ms = clock_wall_ms() };
	struct err e;

	(void)state;
	create("op", "{}");
	create("boss", "{}");
	create("blue", "{}");
	run_sql("UPDATE users SET status = 'deleting' WHERE id = 'usr_op'");
	run_sql("UPDATE tenants SET status = 'deleting' WHERE id = 'blue'");
	TEST_STORE_MUST(eraser_erase(room.server.store.store, &user, NULL, &e), e);
	TEST_STORE_MUST(eraser_erase(room.server.store.store, &tenant, NULL, &e), e);
	tick();
	assert_int_equal(number_of("SELECT count(*) FROM clients"), 1);
	assert_int_equal(number_of("SELECT count(*) FROM changes WHERE kind = 'client' AND op = 'delete' AND actor = "
				   "'system'"),
		2);
}

/* Of a client that no relay has now, as a controld that has just started knows it. */
static void last_seen_is_on_disk(void **state)
{
	const long long id = create("op", "{}");
	struct client_state one = { .instance = "i", .state = CLIENT_STATE_ONLINE, .since_ms = 1 };
	const struct client_states list = { .told = true, .n = 1, .items = &one };
	struct client_statuses *fresh;
	struct client_live live;
	struct db *db;
	struct err e;

	(void)state;
	client_id_print(one.client, id);
	assert_int_equal(client_statuses_node(room.client_statuses, "node_1", "edge", &list, 1700000000000), 0);
	TEST_STORE_MUST(clients_see(room.clients, clock_wall_ms(), &e), e);
	TEST_STORE_MUST(client_statuses_new(&fresh, &e), e);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(client_seen_live(db, fresh, id, &live, &e), e);
	store_read_end(db);
	client_statuses_free(fresh);
	assert_int_equal(live.seen_ms, 1700000000000);
	assert_int_equal(live.status, CLIENT_OFFLINE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(create_answers_with_all_members),
		TEST(refusals),
		TEST(update_changes_what_is_sent),
		TEST(config_is_a_resource),
		TEST(all_that_is_wrong_is_named_at_once),
		TEST(secrets_are_replaced_with_an_overlap),
		TEST(lists),
		TEST(the_wall),
		TEST(a_client_serves_mappings),
		TEST(ports_that_the_client_lets_through),
		TEST(groups_of_a_client_are_logged),
		TEST(off_with_the_client),
		TEST(owners_that_go_take_their_clients_along),
		TEST(last_seen_is_on_disk),
	};

	log_init("test_clients_api", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
