#include "controld/clients/anonymous.h"

#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/clients/client_erase.h"
#include "controld/clients/client_input.h"
#include "controld/clients/client_secret.h"
#include "controld/clients/client_seen.h"
#include "controld/clients/client_token.h"
#include "controld/clients/room.h"
#include "controld/identity/audit.h"
#include "controld/identity/identity.h"
#include "controld/identity/tenant.h"
#include "controld/rest/rate_limit.h"

#include <inttypes.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

/* ---- the tenant --------------------------------------------------------------------------------------------------- */

static int work_bootstrap(struct db *tx, void *arg, struct err *e)
{
	const struct change c = {
		.tenant = ANONYMOUS_TENANT, .kind = "tenant", .op = "create", .subject = ANONYMOUS_TENANT
	};
	struct tenant t;

	(void)arg;
	if (tenant_get(tx, "", ANONYMOUS_TENANT, &t, NULL) == 0)
		return 0;
	tenant_init(&t, ANONYMOUS_TENANT, clock_wall_ms());
	str_copy(t.id, sizeof t.id, ANONYMOUS_TENANT);
	if (tenant_insert(tx, &t, e) != 0)
		return -1;
	return audit_append(tx, NULL, c, tenant_json(&t), e);
}

int anonymous_bootstrap(const struct anonymous_conf *conf, struct store *store, struct err *e)
{
	return conf->enabled ? store_write(store, STORE_LOGGED, work_bootstrap, NULL, e) : 0;
}

/* ---- coming in ---------------------------------------------------------------------------------------------------- */

struct coming {
	struct clients *c;
	const struct request *rq;
	int64_t now_ms;
	char secret[CLIENT_SECRET_SIZE];
	struct client client;
	struct client_session session;
};

static int check_open(struct clients *c, struct err *e)
{
	if (clients_limits(c).anonymous.enabled)
		return 0;
	return err_set(e, ERR_FORBIDDEN, NULL, "the anonymous door is closed here (anonymous.enabled); log in instead");
}

/* By address and hour: the limit of requests is for all calls, and much higher. */
static int check_rate(struct clients *c, const struct request *rq, struct reply *rp, struct err *e)
{
	const uint32_t per_hour = clients_limits(c).anonymous.per_hour;
	char key[ADDR_STRLEN], seconds[24];
	struct rate_window w;

	if (per_hour == 0)
		return 0;
	addr_print_site(request_peer(rq), key);
	rate_limit_count(c->comers, key, per_hour, clock_wall_ms() / 1000, &w);
	if (!w.refused)
		return 0;
	str_fmt(seconds, sizeof seconds, "%" PRId64, MAX(w.reset_s - clock_wall_ms() / 1000, 1));
	reply_header(rp, "Retry-After", seconds);
	return err_set(e, ERR_RATE_LIMITED, NULL, "%s has made %u anonymous clients within an hour, which is the most",
		key, per_hour);
}

static int work_come(struct db *tx, void *arg, struct err *e)
{
	struct coming *x = arg;
	const uint32_t most = clients_limits(x->c).anonymous.clients_max;
	char actor[PROTO_ID_SIZE + sizeof IDENTITY_CLIENT];
	const struct client_actor by = { actor, request_id(x->rq), x->now_ms };
	int64_t n;

	if (client_count(tx, ANONYMOUS_TENANT, "", NULL, &n, e) != 0)
		return -1;
	if (n >= most)
		return err_set(
			e, ERR_UNAVAILABLE, NULL, "there are %u anonymous clients, which is the most; try later", most);
	if (client_pick_id(tx, &x->client, e) != 0)
		return -1;
	str_fmt(actor, sizeof actor, IDENTITY_CLIENT "%" PRId64, x->client.id);
	client_session_make(&x->session, &x->client, x->now_ms);
	if (client_log(tx, &x->client, "create", "", &by, e) != 0 || client_insert(tx, &x->client, e) != 0)
		return -1;
	return client_session_insert(tx, &x->session, e);
}

static void make_client(struct coming *x)
{
	const struct anonymous_conf conf = clients_limits(x->c).anonymous;
	const char *name = json_string_value(json_object_get(request_body(x->rq), "name"));
	struct client *c = &x->client;

	client_init(c, x->now_ms);
	c->type = CLIENT_ANONYMOUS;
	str_copy(c->tenant_id, sizeof c->tenant_id, ANONYMOUS_TENANT);
	str_copy(c->name, sizeof c->name, name != NULL ? name : "");
	c->conf.rate_in = c->conf.rate_out = conf.bandwidth;
	c->conf.max_connections = conf.connections_max;
	c->conf.expires_ms = x->now_ms + (int64_t)conf.lifetime_ms;
}

static int answer(struct coming *x, struct reply *rp, struct err *e)
{
	struct client_live live = { .status = CLIENT_OFFLINE };
	struct buf *b = reply_open(rp, 201, JSON_TYPE);
	int rc;

	jsonw_object(b, NULL);
	client_print(b, "client", &x->client, &live);
	jsonw_str(b, "secret_key", x->secret);
	rc = client_token_grant(x->c->conf.identity, &x->client, &x->session, x->now_ms, b, e);
	jsonw_end_object(b);
	return rc;
}

int anonymous_api_come(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct coming x = { .c = feature, .rq = rq, .now_ms = clock_wall_ms() };
	int rc;

	if (check_open(feature, e) != 0 || check_rate(feature, rq, rp, e) != 0)
		return -1;
	make_client(&x);
	rc = client_secret_add(&x.client, x.secret, 0, x.now_ms, e);
	if (rc == 0)
		rc = store_write(x.c->store, STORE_LOGGED, work_come, &x, e);
	if (rc == 0)
		rc = answer(&x, rp, e);
	seal_wipe(x.secret, sizeof x.secret);
	return rc;
}

/* ---- a client about itself ---------------------------------------------------------------------------------------- */

int client_api_self(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct clients *s = feature;
	struct client_live live;
	struct client c;
	struct db *db;
	int rc;

	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	rc = client_get(db, who->tenant_id, identity_client(who), &c, e);
	if (rc == 0)
		rc = client_seen_live(db, s->conf.statuses, c.id, &live, e);
	store_read_end(db);
	if (rc == 0)
		client_print(reply_open(rp, 200, JSON_TYPE), NULL, &c, &live);
	return rc;
}

struct ending {
	const char *tenant_id;
	int64_t client_id;
	struct client_actor by;
};

static int work_end(struct db *tx, void *arg, struct err *e)
{
	const struct ending *x = arg;
	struct client c;

	if (client_get(tx, x->tenant_id, x->client_id, &c, e) != 0)
		return -1;
	if (c.type != CLIENT_ANONYMOUS)
		return err_set(e, ERR_FORBIDDEN, NULL, "a client that is not anonymous is ended by its tenant");
	return client_erase_begin(tx, &c, &x->by, e);
}

static int end(struct clients *c, const struct request *rq, struct reply *rp, struct ending *x, struct err *e)
{
	x->by = (struct client_actor){ request_identity(rq)->actor, request_id(rq), clock_wall_ms() };
	if (store_write(c->store, STORE_LOGGED, work_end, x, e) != 0)
		return -1;
	clients_changed(c);
	reply_empty(rp, 204);
	return 0;
}

int client_api_end_self(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct ending x = { .tenant_id = who->tenant_id, .client_id = identity_client(who) };

	return end(feature, rq, rp, &x, e);
}

/* ---- for the platform's administrators ---------------------------------------------------------------------------- */

static int id_of(const struct request *rq, int64_t *id, struct err *e)
{
	const char *text = request_param(rq, "id");

	if (client_id_parse(text, id) == 0)
		return 0;
	return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", text);
}

int anonymous_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return client_api_list_of(feature, rq, rp, ANONYMOUS_TENANT, e);
}

int anonymous_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return client_api_get_of(feature, rq, rp, ANONYMOUS_TENANT, e);
}

int anonymous_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct ending x = { .tenant_id = ANONYMOUS_TENANT };

	return id_of(rq, &x.client_id, e) != 0 ? -1 : end(feature, rq, rp, &x, e);
}

int anonymous_api_cleanup(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)rq;
	if (clients_tick(feature, clock_wall_ms(), e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

static const struct schema_field come_fields[] = {
	{ .name = "name",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.max = CLIENT_NAME_MAX,
		.help = "for people" },
};
const struct schema anonymous_come_schema = { "AnonymousComer", come_fields, ARRAY_LEN(come_fields), false };

static const struct schema_field came_fields[] = {
	{ .name = "client", .type = SCHEMA_OBJECT, .sub = &client_schema },
	{ .name = "secret_key", .type = SCHEMA_STRING, .help = "for its agent; shown this once" },
	{ .name = "token", .type = SCHEMA_STRING, .help = "for calls about itself: Authorization: Bearer" },
	{ .name = "refresh_token", .type = SCHEMA_STRING },
	{ .name = "expires_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "of the token" },
	{ .name = "client_id", .type = SCHEMA_INT },
	{ .name = "token_id", .type = SCHEMA_STRING },
};
const struct schema anonymous_came_schema = { "AnonymousClient", came_fields, ARRAY_LEN(came_fields), false };
