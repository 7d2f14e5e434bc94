/*
 * tunnels_room - the tunnels room behind the real server, for the tests of its API; the relays are played here.
 *
 * Callers: "admin" (tenant red, system_admin), "op" and "viewer" (red), "blue" (owner of blue). Groups: "default" is grp_1
 * with node edge-1 (node_1) and the domain t.example, "eu" is grp_2.
 */
#ifndef PORTWAY_TESTS_CONTROLD_TUNNELS_ROOM_H
#define PORTWAY_TESTS_CONTROLD_TUNNELS_ROOM_H

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "controld/balancer/balancer.h"
#include "controld/certs/certs.h"
#include "controld/eraser.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/tunnels/mapping_port.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_client.h"
#include "tests/unit/lib/test_server.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum edge_does { EDGE_AWAY, EDGE_SILENT, EDGE_ACKNOWLEDGES, EDGE_REFUSES };

static uint64_t room_create_wait_ms = 60000; /* set before setup(); long, as the machine may be slow */

static struct room {
	struct test_server server;
	struct test_client client;
	struct store *samples;
	struct mapping_statuses *statuses;
	struct tunnels *tunnels;
	struct balancer *balancer;
	struct certs *certs;

	/* edge-1: hears of commits, reads the log, says its word */
	pthread_t edge;
	pthread_mutex_t lock;
	pthread_cond_t news;
	int64_t committed, done; /* of the change log: what there is, what the relay has read */
	bool stop;
	atomic_int edge_does;
	atomic_int acknowledges_after; /* EDGE_REFUSES: so many refusals */

	/* what the relays answer to a list and a cut, and what they were asked */
	struct relay_conn conns[4];
	size_t n_conns, cut;
	bool incomplete;
	char asked[256];
	uint64_t cut_conn;
} room;

/* ---- who is asking ------------------------------------------------------------------------------------------------ */
static inline int resolve(
	void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e)
{
	static const struct identity who[] = {
		{ "usr_admin", "usr_admin", "red", "", ROLE_OWNER, true, false, "" },
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

/* ---- the relays --------------------------------------------------------------------------------------------------- */
static inline int place(void *self, struct db *db, const char *group, const char *node, char group_id[PROTO_ID_SIZE],
	char node_id[PROTO_ID_SIZE], struct err *e)
{
	const bool eu = str_eq(group, "eu") || str_eq(group, "grp_2");

	(void)self;
	(void)db;
	if (!eu && group != NULL && group[0] != '\0' && !str_eq(group, "default") && !str_eq(group, "grp_1"))
		return err_set(e, ERR_VALIDATION, "group", "group: there is no '%s'", group);
	if (node != NULL && node[0] != '\0' && !str_eq(node, "edge-1"))
		return err_set(e, ERR_VALIDATION, "node", "node: there is no '%s' in the group", node);
	str_copy(group_id, PROTO_ID_SIZE, eu ? "grp_2" : "grp_1");
	str_copy(node_id, PROTO_ID_SIZE, node != NULL && node[0] != '\0' ? "node_1" : "");
	return 0;
}

/* Of the default group only. */
static inline int domain_of(void *self, struct db *db, const char *group_id, char domain[HOST_NAME_SIZE], struct err *e)
{
	(void)self;
	(void)db;
	(void)e;
	return str_copy(domain, HOST_NAME_SIZE, str_eq(group_id, "grp_1") ? "t.example" : "");
}

static inline uint16_t shared_port(void *self, const char *group_id, const char *node_id, uint8_t protocol)
{
	(void)self;
	(void)group_id;
	(void)node_id;
	return protocol == MAPPING_HTTP ? 8080 : 443;
}

static inline int ask_list(void *self, const char *group_id, const char *node_id, const char *mapping_id,
	uint32_t limit, uint64_t *ask, struct err *e)
{
	struct room *r = self;

	(void)e;
	*ask = 1;
	return str_fmt(r->asked, sizeof r->asked, "%s|%s|%s|%u", group_id, node_id, mapping_id, limit);
}

static inline int ask_cut(void *self, const char *node_id, uint64_t conn, uint64_t *ask, struct err *e)
{
	struct room *r = self;

	(void)e;
	*ask = 2;
	r->cut_conn = conn;
	return str_copy(r->asked, sizeof r->asked, node_id);
}

static inline int result(void *self, uint64_t ask, struct relay_answers *out, struct err *e)
{
	const struct room *r = self;

	(void)e;
	*out = (struct relay_answers){ .complete = !r->incomplete };
	out->cut = ask == 2 ? r->cut : 0;
	out->n = ask == 1 ? r->n_conns : 0;
	out->conns = calloc(out->n + 1, sizeof *out->conns);
	memcpy(out->conns, r->conns, out->n * sizeof *out->conns);
	return 0;
}

static inline void forget(void *self, uint64_t ask)
{
	(void)self;
	(void)ask;
}

static inline void count(void *self, size_t *nodes, size_t *online)
{
	(void)self;
	*nodes = 3;
	*online = 2;
}

static const struct relays_ops relays_ops = { place, domain_of, shared_port, ask_list, ask_cut, result, forget, count };

static inline void on_commit(int64_t last_seq, void *arg)
{
	struct room *r = arg;

	pthread_mutex_lock(&r->lock);
	r->committed = last_seq;
	pthread_cond_broadcast(&r->news);
	pthread_mutex_unlock(&r->lock);
}

static inline int say_word(const struct change *c, void *arg)
{
	const int does = atomic_load(&room.edge_does);
	const bool refuses = does == EDGE_REFUSES && (str_eq(c->kind, "mapping") || str_eq(c->kind, "route")) &&
	                     atomic_fetch_sub(&room.acknowledges_after, 1) > 0;
	const struct mapping_refusal r = { c->subject, c->seq, ERR_ADDR_IN_USE, "address already in use: 0.0.0.0:80" };

	(void)arg;
	if (does >= EDGE_ACKNOWLEDGES)
		mapping_statuses_node(room.statuses, "node_1", "edge-1", "grp_1", true, c->seq, &r, refuses);
	return 0;
}

static inline void *work_edge(void *arg)
{
	struct room *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		const int64_t upto = r->committed;
		struct db *db;
		struct err e;

		if (upto == r->done) {
			pthread_cond_wait(&r->news, &r->lock);
			continue;
		}
		pthread_mutex_unlock(&r->lock);
		TEST_STORE_MUST(store_read_begin(r->server.store.store, &db, &e), e);
		TEST_STORE_MUST(changes_read(db, r->done, 1000, NULL, say_word, NULL, &e), e);
		store_read_end(db);
		pthread_mutex_lock(&r->lock);
		r->done = upto;
		pthread_cond_broadcast(&r->news);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* From now on: what was committed before it has read. */
static inline void edge(enum edge_does does)
{
	pthread_mutex_lock(&room.lock);
	while (room.done != room.committed)
		pthread_cond_wait(&room.news, &room.lock);
	pthread_mutex_unlock(&room.lock);
	atomic_store(&room.acknowledges_after, INT_MAX);
	atomic_store(&room.edge_does, does);
	if (does == EDGE_AWAY)
		mapping_statuses_node_gone(room.statuses, "node_1");
	else
		mapping_statuses_node(room.statuses, "node_1", "edge-1", "grp_1", true, 0, NULL, 0);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------- */
static inline int work_sql(struct db *tx, void *arg, struct err *e)
{
	return db_exec(tx, arg, e) < 0 ? -1 : 0;
}

static inline void run_sql(const char *sql)
{
	struct err e;

	TEST_STORE_MUST(
		store_write(room.server.store.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t)sql, &e), e);
}

static inline void insert_people(void)
{
	run_sql("INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		"updated_ms) VALUES "
		"('red', 'red', 'red', 'red', 'active', '[\"10.0.0.0/8\"]', 1, 0, 0), ('blue', 'blue', 'blue', 'blue', "
		"'active', '[\"0.0.0.0/0\"]', 1, 0, 0)");
	run_sql("INSERT INTO users (id, tenant_id, email, email_key, username, username_key, password_hash, "
		"first_name, last_name, "
		"status, system_admin, version, created_ms, updated_ms, last_login_ms) VALUES "
		"('usr_admin', 'red', 'a', 'a', 'a', 'a', '', '', '', 'active', 1, 1, 0, 0, 0), "
		"('usr_op', 'red', 'o', 'o', 'o', 'o', '', '', '', 'active', 0, 1, 0, 0, 0), "
		"('usr_blue', 'blue', 'b', 'b', 'b', 'b', '', '', '', 'active', 0, 1, 0, 0, 0)");
	run_sql("INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES ('red', 'usr_admin', 'owner', "
		"0), "
		"('red', 'usr_op', 'operator', 0), ('blue', 'usr_blue', 'owner', 0)");
}

static inline void open_samples(void)
{
	struct store_conf conf = { .readers = 2, .group_max = 16, .wait_ms = 10000 };
	char url[160];
	struct err e;

	str_fmt(url, sizeof url, "sqlite:%s/samples.db", room.server.store.folder);
	conf.url = url;
	TEST_STORE_MUST(store_open(&room.samples, &conf, &e), e);
	TEST_STORE_MUST(migrate_apply(room.samples, &migrations_samples, NULL, &e), e);
}

static inline int setup(void **state)
{
	static const struct authenticator auth = { .resolve = resolve };
	static const struct relays relays = { &relays_ops, &room };
	struct tunnels_conf conf = {
		.port_min = 10000, .port_max = 10009, .create_wait_ms = room_create_wait_ms, .mappings_max = 8
	};
	struct balancer_conf pools = { .create_wait_ms = room_create_wait_ms, .pools_max = 50, .routes_max = 50 };
	const struct certs_conf certs = { .certificates_max = 5 };
	struct server *s;
	struct err e;

	(void)state;
	memset(&room, 0, sizeof room);
	pthread_mutex_init(&room.lock, NULL);
	pthread_cond_init(&room.news, NULL);
	test_server_open(&room.server, &auth);
	s = room.server.server;
	open_samples();
	insert_people();
	conf.samples = room.samples;
	TEST_STORE_MUST(mapping_statuses_new(&room.statuses, server_parks(s), &e), e);
	TEST_STORE_MUST(
		tunnels_new(&room.tunnels, &conf, room.server.store.store, server_parks(s), room.statuses, &relays, &e),
		e);
	TEST_STORE_MUST(server_add_routes(s, tunnels_routes(room.tunnels), &e), e);
	pools.statuses = room.statuses;
	TEST_STORE_MUST(balancer_new(&room.balancer, &pools, room.server.store.store, server_parks(s), &relays, &e), e);
	TEST_STORE_MUST(server_add_routes(s, balancer_routes(room.balancer), &e), e);
	TEST_STORE_MUST(certs_new(&room.certs, &certs, room.server.store.store, &e), e);
	TEST_STORE_MUST(server_add_routes(s, certs_routes(room.certs), &e), e);
	changes_on_commit(room.server.store.store, on_commit, &room);
	test_server_start(&room.server);
	room.client.port = server_port(s);
	return pthread_create(&room.edge, NULL, work_edge, &room);
}

static inline int teardown(void **state)
{
	(void)state;
	pthread_mutex_lock(&room.lock);
	room.stop = true;
	pthread_cond_signal(&room.news);
	pthread_mutex_unlock(&room.lock);
	pthread_join(room.edge, NULL);
	test_server_stop(&room.server);
	balancer_free(room.balancer);
	certs_free(room.certs);
	tunnels_free(room.tunnels);
	mapping_statuses_free(room.statuses);
	store_close(room.samples);
	test_server_close(&room.server);
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */
#define MAPPING(more) "{\"protocol\":\"tcp\",\"target_host\":\"10.1.2.3\",\"target_port\":80" more "}"

static inline json_t *call(const char *who, const char *method, const char *path, const char *body, int want)
{
	json_t *answer = NULL;
	const int status = test_client(&room.client, who, method, path, body, &answer);

	if (status != want) {
		char *text = json_dumps(answer, 0);

		fail_msg("%s %s as %s: %d, wanted %d: %s", method, path, who, status, want, text != NULL ? text : "");
	}
	return answer;
}

static inline void call_only(const char *who, const char *method, const char *path, const char *body, int want)
{
	json_decref(call(who, method, path, body, want));
}

static inline const char *text_in(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

static inline long long number_in(const json_t *o, const char *name)
{
	return (long long)json_integer_value(json_object_get(o, name));
}

/* Creates one and keeps its id. */
static inline void create(const char *who, const char *body, char id[PROTO_ID_SIZE])
{
	json_t *m = call(who, "POST", "/api/v1/mappings", body, 201);

	str_copy(id, PROTO_ID_SIZE, text_in(m, "id"));
	json_decref(m);
}

static inline const char *path_of(const char *id)
{
	static char path[128];

	str_fmt(path, sizeof path, "/api/v1/mappings/%s", id);
	return path;
}

#endif
