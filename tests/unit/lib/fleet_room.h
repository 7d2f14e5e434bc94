/*
 * fleet_room - the fleet behind the real server and over the real line, for unit tests: `room` has both, call() asks the
 * API, struct test_relay plays the relays.
 */
#ifndef PORTWAY_TESTS_FLEET_ROOM_H
#define PORTWAY_TESTS_FLEET_ROOM_H

#include "controld/fleet/fleet.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/clients/client_status.h"
#include "controld/clients/clients.h"
#include "controld/store/changes.h"
#include "controld/tunnels/tunnels.h"
#include "proto/answer.h"
#include "proto/poll.h"
#include "proto/report.h"
#include "proto/update.h"
#include "tests/unit/lib/test_client.h"
#include "tests/unit/lib/test_relay.h"
#include "tests/unit/lib/test_server.h"

#include <nng/supplemental/util/platform.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct room {
	struct test_server server;
	struct test_client client;
	struct client_statuses *client_statuses;
	struct clients *clients;
	struct mapping_statuses *statuses;
	struct tunnels *tunnels;
	struct fleet *fleet;
	uint16_t port; /* of the line */
} room;

/* Of the room's fleet; set before setup(). */
static struct fleet_bus room_bus;
static uint64_t room_offline_ms = 60000; /* long: relays here are as silent as the machine is slow */

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static UNUSED int resolve(
	void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e)
{
	static const struct identity who[] = {
		{ "usr_admin", "usr_admin", "red", "", ROLE_OWNER, true, false, "" },
		{ "usr_op", "usr_op", "red", "", ROLE_OPERATOR, false, false, "" },
	};

	(void)self, (void)api_key;
	for (size_t i = 0; i < ARRAY_LEN(who); i++)
		if (authorization != NULL &&
			str_eq(authorization + strlen("Bearer "), who[i].user_id + strlen("usr_"))) {
			*out = who[i];
			return 0;
		}
	return err_set(e, ERR_INVALID_TOKEN, NULL, "nobody");
}

static UNUSED int work_sql(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static UNUSED void run_sql(const char *sql)
{
	struct err e;

	TEST_STORE_MUST(
		store_write(room.server.store.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t)sql, &e), e);
}

static UNUSED void insert_people(void)
{
	run_sql("INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		"updated_ms) "
		"VALUES ('red', 'red', 'red', 'red', 'active', '[]', 1, 0, 0)");
	run_sql("INSERT INTO users (id, tenant_id, email, email_key, username, username_key, password_hash, "
		"first_name, "
		"last_name, status, system_admin, version, created_ms, updated_ms, last_login_ms) VALUES "
		"('usr_admin', 'red', 'a', 'a', 'a', 'a', '', '', '', 'active', 1, 1, 0, 0, 0), "
		"('usr_op', 'red', 'o', 'o', 'o', 'o', '', '', '', 'active', 0, 1, 0, 0, 0)");
	run_sql("INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES "
		"('red', 'usr_admin', 'owner', 0), ('red', 'usr_op', 'operator', 0)");
}

static UNUSED struct fleet_conf conf_for_tests(void)
{
	struct fleet_conf c = fleet_conf_default;

	c.listen = "127.0.0.1:0";
	c.offline_ms = room_offline_ms;
	c.self = "ctl_a";
	c.bus = room_bus;
	return c;
}

static UNUSED int setup(void **state)
{
	static const struct authenticator auth = { .resolve = resolve };
	struct tunnels_conf conf = { .port_min = 10000, .port_max = 10999, .create_wait_ms = 50 };
	struct clients_conf clients = { .clients_max = 0 };
	struct fleet_conf fleet = conf_for_tests();
	struct store *store;
	struct server *s;
	struct err e;

	(void)state;
	memset(&room, 0, sizeof room);
	test_server_open(&room.server, &auth);
	s = room.server.server;
	store = room.server.store.store;
	insert_people();
	TEST_STORE_MUST(client_statuses_new(&room.client_statuses, &e), e);
	clients.statuses = fleet.clients = conf.clients = room.client_statuses;
	TEST_STORE_MUST(clients_new(&room.clients, &clients, store, &e), e);
	TEST_STORE_MUST(mapping_statuses_new(&room.statuses, server_parks(s), &e), e);
	TEST_STORE_MUST(fleet_bootstrap(store, &e), e);
	TEST_STORE_MUST(fleet_bootstrap(store, &e), e); /* again is fine */
	TEST_STORE_MUST(fleet_new(&room.fleet, &fleet, store, server_parks(s), room.statuses, &e), e);
	TEST_STORE_MUST(
		tunnels_new(&room.tunnels, &conf, store, server_parks(s), room.statuses, fleet_relays(room.fleet), &e),
		e);
	TEST_STORE_MUST(server_add_routes(s, clients_routes(room.clients), &e), e);
	TEST_STORE_MUST(server_add_routes(s, tunnels_routes(room.tunnels), &e), e);
	TEST_STORE_MUST(server_add_routes(s, fleet_routes(room.fleet), &e), e);
	TEST_STORE_MUST(fleet_start(room.fleet, &e), e);
	room.port = fleet_port(room.fleet);
	test_server_start(&room.server);
	room.client.port = server_port(s);
	return 0;
}

/* For what is about going offline. */
static UNUSED int setup_hasty(void **state)
{
	int rc;

	room_offline_ms = 1500;
	rc = setup(state);
	room_offline_ms = 60000;
	return rc;
}

static UNUSED int teardown(void **state)
{
	(void)state;
	fleet_stop(room.fleet);
	test_server_stop(&room.server);
	tunnels_free(room.tunnels);
	fleet_free(room.fleet);
	mapping_statuses_free(room.statuses);
	clients_free(room.clients);
	client_statuses_free(room.client_statuses);
	test_server_close(&room.server);
	return 0;
}

/* ---- the API ----------------------------------------------------------------------------------------------------- */

static UNUSED json_t *call(const char *who, const char *method, const char *path, const char *body, int want)
{
	json_t *answer = NULL;
	int status = test_client(&room.client, who, method, path, body, &answer);

	if (status != want) {
		char *text = json_dumps(answer, 0);

		fail_msg("%s %s as %s: %d, wanted %d: %s", method, path, who, status, want, text != NULL ? text : "");
	}
	return answer;
}

static UNUSED void call_only(const char *who, const char *method, const char *path, const char *body, int want)
{
	json_decref(call(who, method, path, body, want));
}

static UNUSED void keep_text(const json_t *o, const char *name, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(o, name));

	assert_non_null(s);
	assert_int_equal(str_copy(dst, size, s), 0);
}

static UNUSED void make_token(const char *body, char token[JOIN_TOKEN_MAX])
{
	json_t *o = call("admin", "POST", "/api/v1/nodes/join-tokens", body, 201);

	keep_text(o, "token", token, JOIN_TOKEN_MAX);
	json_decref(o);
}

/* Waits until a member of an object has this text; a number is compared as text. */
static UNUSED void wait_member(const char *path, const char *member, const char *want)
{
	uint64_t end = clock_mono_ms() + 30000;
	char got[128] = "";

	while (clock_mono_ms() < end) {
		json_t *o = call("admin", "GET", path, NULL, 200);
		const json_t *v = json_object_get(o, member);

		if (json_is_string(v))
			str_copy(got, sizeof got, json_string_value(v));
		else
			str_fmt(got, sizeof got, "%lld", (long long)json_integer_value(v));
		json_decref(o);
		if (strcmp(got, want) == 0)
			return;
		nng_msleep(10);
	}
	fail_msg("%s: %s is '%s', wanted '%s'", path, member, got, want);
}

static UNUSED void wait_status(const char *node, const char *want)
{
	char path[128];

	str_fmt(path, sizeof path, "/api/v1/nodes/%s", node);
	wait_member(path, "status", want);
}

static UNUSED void mapping_path(const char *id, char path[128])
{
	str_fmt(path, 128, "/api/v1/mappings/%s", id);
}

static UNUSED void create_mapping(const char *more, char id[PROTO_ID_SIZE])
{
	char body[256];
	json_t *o;

	str_fmt(body, sizeof body, "{\"protocol\":\"tcp\",\"target_host\":\"192.0.2.1\",\"target_port\":80%s}", more);
	o = call("admin", "POST", "/api/v1/mappings", body, 201);
	keep_text(o, "id", id, PROTO_ID_SIZE);
	json_decref(o);
}

/* ---- the relay --------------------------------------------------------------------------------------------------- */

static UNUSED void join_and_open(struct test_relay *r, const char *name)
{
	char body[128], token[JOIN_TOKEN_MAX];

	memset(r, 0, sizeof *r);
	str_fmt(body, sizeof body, "{\"name\":\"%s\"}", name);
	make_token(body, token);
	assert_int_equal(test_relay_join(r, room.port, token), 0);
	test_relay_open(r, room.port);
}

static UNUSED void send_poll(
	struct test_relay *r, const struct proto_revision *have, const struct node_refusal *refusal)
{
	static uint64_t serial;
	struct msg_poll m = { .have = *have };
	struct node_refusal list[1];
	struct buf b;

	m.state.applied = *have;
	m.state.serial = ++serial;
	if (refusal != NULL) {
		list[0] = *refusal;
		m.state.n = 1;
		m.state.refusals = list;
	}
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	test_relay_send(r->poll, &b);
}

/* The answer; the entries as "+id" and "-id" in their order, "*id" for one that is there and switched off. */
struct answer {
	struct msg_update head;
	char entries[512];
	char target[MAPPING_HOST_SIZE]; /* of the first mapping */
	struct client_conf client;      /* the last one */
};

/* Whether it is switched on. */
static UNUSED bool read_body(struct answer *a, const struct update_entry *one)
{
	struct mapping_conf conf;
	bool enabled;

	if (one->kind == OBJECT_CLIENT) {
		assert_int_equal(client_conf_decode(&a->client, one->body, one->body_n), 0);
		return a->client.enabled;
	}
	assert_int_equal(mapping_conf_decode(&conf, one->body, one->body_n), 0);
	if (a->target[0] == '\0')
		str_copy(a->target, sizeof a->target, conf.target_host);
	enabled = conf.enabled;
	mapping_conf_fini(&conf);
	return enabled;
}

static UNUSED void recv_update(struct test_relay *r, struct answer *a)
{
	nng_msg *m = test_relay_recv(r->poll);
	struct update_entry one;
	struct cursor it;
	size_t len = 0;

	assert_non_null(m);
	memset(a, 0, sizeof *a);
	assert_int_equal(msg_update_decode(&a->head, nng_msg_body(m), nng_msg_len(m)), 0);
	it = a->head.entries;
	while (msg_update_next(&it, &one)) {
		const char *sign;

		if (one.kind == OBJECT_TICKETS) /* every relay has them */
			continue;
		sign = one.gone ? "-" : read_body(a, &one) ? "+" : "*";

		len += (size_t)snprintf(
			a->entries + len, sizeof a->entries - len, "%s%s%s", len > 0 ? " " : "", sign, one.id);
	}
	nng_msg_free(m);
}

/* Polls with nothing, takes the snapshot, and is parked with it. */
static UNUSED void start_up(struct test_relay *r, struct answer *a)
{
	const struct proto_revision none = { .seq = 0 };

	send_poll(r, &none, NULL);
	recv_update(r, a);
	assert_int_equal(a->head.kind, UPDATE_SNAPSHOT);
	assert_int_equal(a->head.next_page, 0);
	send_poll(r, &a->head.to, NULL);
}

static UNUSED void expect_entries(struct test_relay *r, struct answer *a, const char *sign, const char *id)
{
	char want[64];

	recv_update(r, a);
	str_fmt(want, sizeof want, "%s%s", sign, id);
	assert_int_equal(a->head.kind, UPDATE_DELTA);
	assert_string_equal(a->entries, want);
}

#endif
