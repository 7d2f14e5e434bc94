#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/identity/identity.h"
#include "controld/store/changes.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/connection_code.h"

#include <inttypes.h>

#define JSON_TYPE           "application/json; charset=utf-8"
#define EXPIRES_DEFAULT_MS  (INT64_C(10) * 60 * 1000)
#define EXPIRES_MAX_MS      (INT64_C(24) * 3600 * 1000)
#define LIFETIME_DEFAULT_MS (INT64_C(8) * 3600 * 1000)
#define LIFETIME_MAX_MS     (INT64_C(30) * 86400 * 1000)

static void print(struct buf *b, const struct connection_code *c, const char *text)
{
	jsonw_object(b, NULL);
	jsonw_str(b, "id", c->id);
	if (text != NULL)
		jsonw_str(b, "code", text);
	jsonw_int(b, "target_client_id", c->client_id);
	jsonw_str(b, "protocol", c->protocol == MAPPING_UDP ? "udp" : "tcp");
	jsonw_str(b, "target_host", c->target_host);
	jsonw_uint(b, "target_port", c->target_port);
	jsonw_int(b, "lifetime_seconds", c->lifetime_ms / 1000);
	jsonw_time(b, "created_at", c->created_ms);
	jsonw_time(b, "expires_at", c->expires_ms);
	jsonw_end_object(b);
}

struct making {
	const struct request *rq;
	struct connection_code code;
	char text[CONNECTION_CODE_SIZE];
	int64_t now_ms;
	unsigned n;
};

static int log_code(struct db *tx, const struct making *m, const char *op, struct err *e)
{
	const struct change c = { .time_ms = m->now_ms,
		.tenant = m->code.tenant_id,
		.actor = request_identity(m->rq)->actor,
		.request_id = request_id(m->rq),
		.kind = "connection_code",
		.op = op,
		.subject = m->code.id,
		.fields = "" };

	return changes_append(tx, &c, NULL, e);
}

static int on_counted(const struct connection_code *c, void *arg)
{
	(void)c;
	++*(unsigned *)arg;
	return 0;
}

static int work_make(struct db *tx, void *arg, struct err *e)
{
	struct making *m = arg;
	struct client client;

	if (client_get(tx, m->code.tenant_id, m->code.client_id, &client, NULL) != 0)
		return err_set(e, ERR_VALIDATION, "target_client_id", "target_client_id: there is no client %" PRId64,
			m->code.client_id);
	if (!client_conf_port_ok(&client.conf, m->code.target_port))
		return err_set(e, ERR_DENIED_TARGET, "target_port",
			"target_port: the config of client %" PRId64 " does not let %u through", m->code.client_id,
			m->code.target_port);
	if (connection_code_list(tx, m->code.tenant_id, m->now_ms, on_counted, &m->n, e) != 0)
		return -1;
	if (m->n >= CONNECTION_CODES_MAX)
		return err_set(e, ERR_LIMIT, NULL, "the tenant has %d connection codes, which is the most",
			CONNECTION_CODES_MAX);
	if (connection_code_insert(tx, &m->code, m->text, e) != 0)
		return -1;
	return log_code(tx, m, "create", e);
}

static int take_span(const json_t *body, const char *name, int64_t most_ms, int64_t *out, struct err *e)
{
	const json_t *v = json_object_get(body, name);
	const char *s = json_string_value(v);
	uint64_t ms = (uint64_t)MIN(MAX(json_integer_value(v), 0), INT32_MAX) * 1000;

	if (v == NULL || json_is_null(v))
		return 0;
	if ((s != NULL && str_to_duration_ms(s, &ms) != 0) || ms < 1000 || ms > (uint64_t)most_ms)
		return err_set(e, ERR_VALIDATION, name, "%s: must be from 1s to %" PRId64 "s", name, most_ms / 1000);
	*out = (int64_t)ms;
	return 0;
}

static int take(struct making *m, const json_t *body, struct err *e)
{
	const char *host = json_string_value(json_object_get(body, "target_host"));
	struct connection_code *c = &m->code;
	int64_t lasts_ms = EXPIRES_DEFAULT_MS;

	c->lifetime_ms = LIFETIME_DEFAULT_MS;
	c->client_id = json_integer_value(json_object_get(body, "target_client_id"));
	c->protocol = str_eq(json_string_value(json_object_get(body, "protocol")), "udp") ? MAPPING_UDP : MAPPING_TCP;
	c->target_port = (uint16_t)json_integer_value(json_object_get(body, "target_port"));
	str_copy(c->target_host, sizeof c->target_host, host != NULL ? host : "127.0.0.1");
	if (take_span(body, "expires_in", EXPIRES_MAX_MS, &lasts_ms, e) != 0 ||
		take_span(body, "lifetime", LIFETIME_MAX_MS, &c->lifetime_ms, e) != 0)
		return -1;
	c->created_ms = m->now_ms;
	c->expires_ms = m->now_ms + lasts_ms;
	return 0;
}

int connection_code_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct making m = { .rq = rq, .now_ms = clock_wall_ms() };
	struct tunnels *t = feature;

	str_copy(m.code.tenant_id, sizeof m.code.tenant_id, who->tenant_id);
	str_copy(m.code.user_id, sizeof m.code.user_id, who->user_id);
	if (take(&m, request_body(rq), e) != 0)
		return -1;
	connection_code_make(&m.code, m.text);
	if (store_write(t->store, STORE_LOGGED, work_make, &m, e) != 0)
		return -1;
	print(reply_open(rp, 201, JSON_TYPE), &m.code, m.text);
	return 0;
}

static int on_listed(const struct connection_code *c, void *arg)
{
	print(arg, c, NULL);
	return 0;
}

int connection_code_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct tunnels *t = feature;
	struct buf *b = reply_open(rp, 200, JSON_TYPE);
	struct db *db;
	int rc;

	if (store_read_begin(t->store, &db, e) != 0)
		return -1;
	jsonw_object(b, NULL);
	jsonw_array(b, "items");
	rc = connection_code_list(db, request_identity(rq)->tenant_id, clock_wall_ms(), on_listed, b, e);
	store_read_end(db);
	jsonw_end_array(b);
	jsonw_null(b, "next_cursor");
	jsonw_end_object(b);
	return rc;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct making *m = arg;
	const int n = connection_code_delete(tx, m->code.tenant_id, m->code.id, e);

	if (n == 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "there is no connection code '%s'", m->code.id);
	return n < 0 ? -1 : log_code(tx, m, "delete", e);
}

int connection_code_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct making m = { .rq = rq, .now_ms = clock_wall_ms() };
	struct tunnels *t = feature;

	str_copy(m.code.tenant_id, sizeof m.code.tenant_id, request_identity(rq)->tenant_id);
	if (str_copy(m.code.id, sizeof m.code.id, request_param(rq, "id")) != 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "there is no such connection code");
	if (store_write(t->store, STORE_LOGGED, work_delete, &m, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- schemas ------------------------------------------------------------------------------------------------------ */

static const char *const protocols[] = { "tcp", "udp", NULL };
static const struct schema_field create_fields[] = {
	{ .name = "target_client_id",
		.type = SCHEMA_INT,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = CLIENT_ID_MAX - 1,
		.help = "the client whose agent dials" },
	{ .name = "protocol", .type = SCHEMA_STRING, .choices = protocols, .help = "default tcp" },
	{ .name = "target_host",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.max = MAPPING_HOST_SIZE - 1,
		.format = SCHEMA_FORMAT_HOST,
		.help = "default 127.0.0.1" },
	{ .name = "target_port", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .min = 1, .max = 65535 },
	{ .name = "expires_in",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.format = SCHEMA_FORMAT_DURATION,
		.help = "how long the code can be used: up to 24h, default 10m" },
	{ .name = "lifetime",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.format = SCHEMA_FORMAT_DURATION,
		.help = "how long the port lasts that it opens: up to 30d, default 8h" },
};
const struct schema connection_code_schema = { "ConnectionCode", create_fields, ARRAY_LEN(create_fields), false };

static const struct schema_field redeem_fields[] = {
	{ .name = "code", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED | SCHEMA_SECRET, .min = 1, .max = 64 },
};
const struct schema connection_code_redeem_schema = { "ConnectionCodeUse", redeem_fields, ARRAY_LEN(redeem_fields),
	false };
