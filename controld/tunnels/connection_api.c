#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/rest/park.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/mapping.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Live connections are nowhere stored: the relays are asked, the answer waits parked until all of them have said what
 * they have, or for ASK_WAIT_MS. A connection's id is "<node>.<mapping>.<number within the relay's boot>"; the mapping in
 * it is what makes the wall between tenants hold: only connections of a mapping of one's own are ever looked for.
 */
#define ASK_WAIT_MS    2000
#define LIST_BYTES_MAX (32u << 20)

#define TEXT(n, most, h)                                                 \
	{                                                                \
		.name = n, .type = SCHEMA_STRING, .max = most, .help = h \
	}
#define LIMIT                                                                           \
	{                                                                               \
		.name = "limit", .type = SCHEMA_INT, .min = 1, .max = ANSWER_CONNS_MAX, \
		.help = "of each relay; default 1000"                                   \
	}

static const struct schema_field list_query_fields[] = {
	TEXT("mapping_id", PROTO_ID_SIZE, "of this mapping"),
	TEXT("group", PROTO_NAME_SIZE, "on relays of this group; default: all"),
	TEXT("node", PROTO_NAME_SIZE, "on this relay of the group (or of the group default)"),
	LIMIT,
};
const struct schema connection_list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field of_mapping_query_fields[] = { LIMIT };
const struct schema connection_of_mapping_query = { NULL, of_mapping_query_fields, ARRAY_LEN(of_mapping_query_fields),
	false };

static const struct schema_field connection_fields[] = {
	TEXT("id", 0, "for cutting it"),
	TEXT("mapping_id", 0, "the mapping it came through"),
	{ .name = "client_id",
		.type = SCHEMA_INT,
		.flags = SCHEMA_NULLABLE,
		.help = "null: a relay dialled the target" },
	TEXT("node_id", 0, "the relay"),
	TEXT("node", 0, "its name"),
	TEXT("protocol", 0, "tcp or udp"),
	TEXT("remote_addr", 0, "the client"),
	TEXT("local_addr", 0, "the tunnel port"),
	TEXT("target_addr", 0, "where it goes"),
	TEXT("status", 0, "active"),
	{ .name = "bytes_received", .type = SCHEMA_INT, .help = "that the client sent in" },
	{ .name = "bytes_sent", .type = SCHEMA_INT, .help = "that the client got" },
	{ .name = "created_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "RFC 3339" },
	{ .name = "updated_at",
		.type = SCHEMA_STRING,
		.format = SCHEMA_FORMAT_TIME,
		.help = "when the relay was asked" },
};
static const struct schema connection_schema = { "Connection", connection_fields, ARRAY_LEN(connection_fields), false };
static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &connection_schema },
	{ .name = "complete",
		.type = SCHEMA_BOOL,
		.help = "every relay that is online has answered, and none had more" },
};
const struct schema connection_list_schema = { "ConnectionList", list_fields, ARRAY_LEN(list_fields), false };

/* ---- asking ------------------------------------------------------------------------------------------------------- */
struct asking {
	struct tunnels *t;
	uint64_t ask; /* 0: none */
	char tenant_id[PROTO_ID_SIZE];
	char mapping_id[PROTO_ID_SIZE]; /* "": all of the tenant's */
	int64_t client_id;              /* whose mappings; 0: all */
	char group_id[PROTO_ID_SIZE], node_id[PROTO_ID_SIZE];
	uint64_t conn; /* to be cut */
};

static void free_asking(void *state)
{
	struct asking *a = state;

	if (a->ask != 0)
		a->t->relays.ops->forget(a->t->relays.self, a->ask);
	free(a);
}

static int result_of(const struct asking *a, struct relay_answers *out, struct err *e)
{
	return a->t->relays.ops->result(a->t->relays.self, a->ask, out, e);
}

/* Finishes when the ask is answered, or with what came after ASK_WAIT_MS. Takes over the state. */
static int when_answered(struct asking *a, struct request *rq, struct reply *rp, park_fn finish, struct err *e)
{
	struct parks *parks = a->t->parks;
	struct relay_answers answers = { .n = 0 };
	char key[32];
	uint64_t ticket;
	int rc;

	str_fmt(key, sizeof key, "ask:%" PRIu64, a->ask);
	ticket = park_ticket(parks, key);
	rc = result_of(a, &answers, e);
	if (rc == 0 && !answers.complete) {
		reply_park(rp, key, ticket, ASK_WAIT_MS, finish, a, free_asking);
	} else {
		if (rc == 0)
			rc = finish(a->t, rq, rp, a, e);
		free_asking(a);
	}
	relay_answers_fini(&answers);
	return rc;
}

static int asking_new(struct asking **out, struct tunnels *t, const struct request *rq, struct err *e)
{
	struct asking *a = calloc(1, sizeof *a);

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "connections: out of memory");
	a->t = t;
	str_copy(a->tenant_id, sizeof a->tenant_id, request_identity(rq)->tenant_id);
	*out = a;
	return 0;
}

static uint32_t limit_of(const struct request *rq)
{
	const char *text = request_query(rq, "limit");
	uint64_t n;

	return text != NULL && str_to_u64(text, 1, ANSWER_CONNS_MAX, &n) == 0 ? (uint32_t)n : 1000;
}

static int ask_for_list(struct asking *a, uint32_t limit, struct err *e)
{
	const struct relays *r = &a->t->relays;

	return r->ops->list(r->self, a->group_id, a->node_id, a->mapping_id, limit, &a->ask, e);
}

/* ---- listing ------------------------------------------------------------------------------------------------------ */
static void print_connection(struct buf *b, const struct relay_conn *c, int64_t client_id, int64_t now_ms)
{
	char id[3 * PROTO_ID_SIZE];

	str_fmt(id, sizeof id, "%s.%s.%" PRIu64, c->node_id, c->info.mapping, c->info.id);
	jsonw_object(b, NULL);
	jsonw_str(b, "id", id);
	jsonw_str(b, "mapping_id", c->info.mapping);
	if (client_id != 0)
		jsonw_int(b, "client_id", client_id);
	else
		jsonw_null(b, "client_id");
	jsonw_str(b, "node_id", c->node_id);
	jsonw_str(b, "node", c->node_name);
	jsonw_str(b, "protocol", c->info.protocol == MAPPING_UDP ? "udp" : "tcp");
	jsonw_str(b, "remote_addr", c->info.remote);
	jsonw_str(b, "local_addr", c->info.local);
	jsonw_str(b, "target_addr", c->info.target);
	jsonw_str(b, "status", "active");
	jsonw_uint(b, "bytes_received", c->info.bytes_in);
	jsonw_uint(b, "bytes_sent", c->info.bytes_out);
	jsonw_time(b, "created_at", c->info.opened_ms);
	jsonw_time(b, "updated_at", now_ms);
	jsonw_end_object(b);
}

/* A mapping that connections came through. Those of one mapping mostly stand together. */
struct came_through {
	char mapping_id[PROTO_ID_SIZE];
	bool own;
	int64_t client_id;
};

/* The wall: mappings of other tenants are not there. */
static int look_up(struct db *db, const struct asking *a, const char *mapping_id, struct came_through *m, struct err *e)
{
	int rc;

	if (str_eq(mapping_id, m->mapping_id))
		return 0;
	m->client_id = 0;
	str_copy(m->mapping_id, sizeof m->mapping_id, mapping_id);
	rc = mapping_find(db, a->tenant_id, mapping_id, &m->client_id, e);
	m->own = rc == 1 && (a->mapping_id[0] == '\0' || str_eq(mapping_id, a->mapping_id)) &&
	         (a->client_id == 0 || a->client_id == m->client_id);
	return MIN(rc, 0);
}

static int print_own(const struct asking *a, const struct relay_answers *answers, struct buf *b, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	struct came_through m = { .own = false };
	struct db *db;
	int rc = 0;

	if (store_read_begin(a->t->store, &db, e) != 0)
		return -1;
	for (size_t i = 0; i < answers->n && rc == 0; i++) {
		rc = look_up(db, a, answers->conns[i].info.mapping, &m, e);
		if (rc == 0 && m.own)
			print_connection(b, &answers->conns[i], m.client_id, now_ms);
	}
	store_read_end(db);
	return rc;
}

static int on_list(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	const struct asking *a = state;
	struct relay_answers answers = { .n = 0 };
	struct buf b;
	int rc;

	(void)feature;
	(void)rq;
	if (result_of(a, &answers, e) != 0)
		return -1;
	buf_init(&b, LIST_BYTES_MAX);
	jsonw_object(&b, NULL);
	jsonw_array(&b, "items");
	rc = print_own(a, &answers, &b, e);
	jsonw_end_array(&b);
	jsonw_bool(&b, "complete", answers.complete && !answers.truncated);
	jsonw_end_object(&b);
	if (rc == 0 && b.failed)
		rc = err_set(
			e, ERR_VALIDATION, "limit", "the list is larger than %u bytes; ask for fewer", LIST_BYTES_MAX);
	if (rc == 0)
		reply_text(rp, 200, "application/json; charset=utf-8", (const char *)b.data, b.len);
	buf_free(&b);
	relay_answers_fini(&answers);
	return rc;
}

/* Where a mapping of the tenant is placed. */
static int find_mapping(struct db *db, struct asking *a, const char *mapping_id, struct err *e)
{
	struct traffic traffic;
	struct mapping m;

	if (mapping_get(db, a->tenant_id, mapping_id, &m, &traffic, e) != 0)
		return -1;
	str_copy(a->mapping_id, sizeof a->mapping_id, m.id);
	str_copy(a->group_id, sizeof a->group_id, m.group_id);
	str_copy(a->node_id, sizeof a->node_id, m.node_id);
	mapping_fini(&m);
	return 0;
}

static int find_scope(struct db *db, struct asking *a, const struct request *rq, const char *mapping_id, struct err *e)
{
	const struct relays *r = &a->t->relays;
	const char *group = request_query(rq, "group"), *node = request_query(rq, "node");

	if (mapping_id != NULL && find_mapping(db, a, mapping_id, e) != 0)
		return -1;
	if (group == NULL && node == NULL)
		return 0;
	if (group == NULL && a->group_id[0] != '\0')
		group = a->group_id;
	return r->ops->place(r->self, db, group, node, a->group_id, a->node_id, e);
}

static int list(struct tunnels *t, struct request *rq, struct reply *rp, const char *mapping_id, int64_t client_id,
	struct err *e)
{
	struct asking *a;
	struct db *db;
	int rc;

	if (asking_new(&a, t, rq, e) != 0)
		return -1;
	a->client_id = client_id;
	rc = store_read_begin(t->store, &db, e);
	if (rc == 0) {
		rc = find_scope(db, a, rq, mapping_id, e);
		store_read_end(db);
	}
	if (rc == 0)
		rc = ask_for_list(a, limit_of(rq), e);
	if (rc == 0)
		return when_answered(a, rq, rp, on_list, e);
	free_asking(a);
	return -1;
}

int connection_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return list(feature, rq, rp, request_query(rq, "mapping_id"), 0, e);
}

int connection_api_of_mapping(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return list(feature, rq, rp, request_param(rq, "id"), 0, e);
}

int connection_api_of_client(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	int64_t client_id;

	if (tunnels_client_of(feature, rq, &client_id, e) != 0)
		return -1;
	return list(feature, rq, rp, NULL, client_id, e);
}

/* ---- cutting ------------------------------------------------------------------------------------------------------ */
static int fail_gone(struct err *e)
{
	return err_set(e, ERR_CONNECTION_NOT_FOUND, NULL, "there is no such connection (any more)");
}

/* "<node>.<mapping>.<number>" */
static int parse_id(struct asking *a, const char *id)
{
	const char *mapping = strchr(id, '.');
	const char *number = strrchr(id, '.');
	uint64_t conn;

	if (mapping == NULL || number == mapping || str_to_u64(number + 1, 0, UINT64_MAX, &conn) != 0)
		return -1;
	a->conn = conn;
	return str_fmt(a->node_id, sizeof a->node_id, "%.*s", (int)(mapping - id), id) |
	       str_fmt(a->mapping_id, sizeof a->mapping_id, "%.*s", (int)(number - mapping - 1), mapping + 1);
}

static int on_cut(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	struct relay_answers answers = { .n = 0 };
	bool ended, complete;

	(void)feature;
	(void)rq;
	if (result_of(state, &answers, e) != 0)
		return -1;
	ended = answers.cut > 0;
	complete = answers.complete;
	relay_answers_fini(&answers);
	if (!ended)
		return complete ? fail_gone(e) : err_set(e, ERR_TIMEOUT, NULL, "the relay has not answered in time");
	reply_empty(rp, 204);
	return 0;
}

static int cut(const struct asking *known, struct request *rq, struct reply *rp, struct err *e)
{
	const struct relays *r = &known->t->relays;
	struct asking *a;

	if (asking_new(&a, known->t, rq, e) != 0)
		return -1;
	if (r->ops->cut(r->self, known->node_id, known->conn, &a->ask, e) == 0)
		return when_answered(a, rq, rp, on_cut, e);
	free_asking(a);
	return -1;
}

/* What the relay has of that mapping: a number that is not among it belongs to somebody else, or to nobody. */
static int on_known(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	const struct asking *a = state;
	struct relay_answers answers = { .n = 0 };
	bool found = false, complete;

	(void)feature;
	if (result_of(a, &answers, e) != 0)
		return -1;
	for (size_t i = 0; i < answers.n && !found; i++)
		found = answers.conns[i].info.id == a->conn && str_eq(answers.conns[i].info.mapping, a->mapping_id) &&
		        str_eq(answers.conns[i].node_id, a->node_id);
	complete = answers.complete;
	relay_answers_fini(&answers);
	if (found)
		return cut(a, rq, rp, e);
	return complete ? fail_gone(e) : err_set(e, ERR_TIMEOUT, NULL, "the relay has not answered in time");
}

static int check_own(struct asking *a, struct err *e)
{
	struct db *db;
	int64_t client_id;
	int rc = store_read_begin(a->t->store, &db, e);

	if (rc != 0)
		return -1;
	rc = mapping_find(db, a->tenant_id, a->mapping_id, &client_id, e);
	store_read_end(db);
	return rc == 0 ? fail_gone(e) : MIN(rc, 0);
}

int connection_api_cut(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct asking *a;
	int rc;

	if (asking_new(&a, feature, rq, e) != 0)
		return -1;
	rc = parse_id(a, request_param(rq, "id")) != 0 ? fail_gone(e) : check_own(a, e);
	if (rc == 0)
		rc = ask_for_list(a, ANSWER_CONNS_MAX, e);
	if (rc == 0)
		return when_answered(a, rq, rp, on_known, e);
	free_asking(a);
	return -1;
}
