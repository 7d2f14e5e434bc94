#include "controld/clients/clients.h"

#include "common/base/clock.h"
#include "controld/clients/client.h"
#include "controld/clients/client_config.h"
#include "controld/clients/client_erase.h"
#include "controld/clients/client_input.h"
#include "controld/clients/client_seen.h"
#include "controld/clients/client_session.h"
#include "controld/clients/client_token.h"
#include "controld/clients/room.h"
#include "controld/identity/service.h"
#include "controld/rest/rate_limit.h"

#include <stdlib.h>

#define COMERS_MAX 10000 /* addresses that are remembered */

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"

static const struct route routes[] = {
	{ GET, "/api/v1/clients", PERM_READ, LANE_DB, &client_list_query, NULL, &client_list_schema, 200, 0,
		client_api_list, "List clients", "Clients" },
	{ POST, "/api/v1/clients", PERM_WRITE, LANE_DB, NULL, &client_schema, &client_schema, 201, ROUTE_JUDGES,
		client_api_create, "Create a client; its secret_key is shown this once", "Clients" },
	{ GET, "/api/v1/clients/{id}", PERM_READ, LANE_DB, NULL, NULL, &client_schema, 200, 0, client_api_get,
		"Show one client and where its agents are", "Clients" },
	{ PUT, "/api/v1/clients/{id}", PERM_WRITE, LANE_DB, NULL, &client_schema, &client_schema, 200,
		ROUTE_PARTIAL | ROUTE_JUDGES, client_api_update, "Change the members that are sent; null resets one",
		"Clients" },
	{ DELETE, "/api/v1/clients/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, client_api_delete,
		"Delete a client; its agents and its mappings are off at once", "Clients" },
	{ GET, "/api/v1/clients/{id}/config", PERM_READ, LANE_DB, NULL, NULL, &client_config_schema, 200, 0,
		client_api_get_config, "Show the config of a client", "Clients" },
	{ PUT, "/api/v1/clients/{id}/config", PERM_WRITE, LANE_DB, NULL, &client_config_schema, &client_config_schema,
		200, ROUTE_PARTIAL | ROUTE_JUDGES, client_api_put_config,
		"Change the members of the config that are sent", "Clients" },
	{ POST, "/api/v1/clients/{id}/rotate-secret", PERM_WRITE, LANE_DB, NULL, &client_rotate_schema, &client_schema,
		200, 0, client_api_rotate, "Make a new secret_key; those before it work on for the overlap",
		"Clients" },
	{ POST, "/api/v1/clients/{id}/keys", PERM_WRITE, LANE_DB, NULL, &client_key_schema, &client_schema, 200, 0,
		client_api_add_key,
		"Register a public key or certificate that agents may sign in with, beside the secrets", "Clients" },
	{ DELETE, "/api/v1/clients/{id}/secrets/{secret_id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0,
		client_api_drop_secret,
		"End one secret, or one registered key, at once; agents that use it are cut off", "Clients" },
	{ GET, "/api/v1/self", PERM_CLIENT, LANE_DB, NULL, NULL, &client_schema, 200, 0, client_api_self,
		"The client whose token it is", "Client itself" },
	{ DELETE, "/api/v1/self", PERM_CLIENT, LANE_DB, NULL, NULL, NULL, 204, 0, client_api_end_self,
		"End an anonymous client, with its mappings", "Client itself" },
	{ POST, "/api/v1/anonymous/clients", PERM_PUBLIC, LANE_DB, NULL, &anonymous_come_schema, &anonymous_came_schema,
		201, ROUTE_LOGIN | ROUTE_PER_MINUTE(60), anonymous_api_come,
		"A client without an account, with its secret and tokens; it ends by itself", "Anonymous" },
	{ GET, "/api/v1/anonymous/clients", PERM_SYSTEM, LANE_DB, &client_list_query, NULL, &client_list_schema, 200, 0,
		anonymous_api_list, "List anonymous clients", "Anonymous" },
	{ GET, "/api/v1/anonymous/clients/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, &client_schema, 200, 0,
		anonymous_api_get, "Show one anonymous client", "Anonymous" },
	{ DELETE, "/api/v1/anonymous/clients/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0,
		anonymous_api_delete, "End an anonymous client, with its mappings", "Anonymous" },
	{ POST, "/api/v1/anonymous/cleanup", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0, anonymous_api_cleanup,
		"Remove what has expired now; it is done every few seconds anyway", "Anonymous" },
	{ POST, "/api/v1/clients/{id}/tokens", PERM_WRITE, LANE_DB, NULL, NULL, &client_pair_schema, 201, 0,
		client_token_api_create, "Make a pair of tokens for a client", "Client tokens" },
	{ DELETE, "/api/v1/clients/{id}/tokens", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0,
		client_token_api_end_all, "Revoke all tokens of a client, at once", "Client tokens" },
	{ POST, "/api/v1/client-tokens", PERM_PUBLIC, LANE_DB, NULL, &client_login_schema, &client_pair_schema, 201,
		ROUTE_LOGIN | ROUTE_PER_MINUTE(600), client_token_api_login,
		"A pair of tokens for who has the secret of a client", "Client tokens" },
	{ POST, "/api/v1/client-tokens/validate", PERM_PUBLIC, LANE_DB, NULL, &client_access_schema, NULL, 200,
		ROUTE_PER_MINUTE(1200), client_token_api_validate,
		"Say whether an access token is good, and whose it is", "Client tokens" },
	{ POST, "/api/v1/client-tokens/validate-refresh", PERM_PUBLIC, LANE_DB, NULL, &client_refresh_schema, NULL, 200,
		ROUTE_PER_MINUTE(1200), client_token_api_validate_refresh,
		"Say whether a refresh token is good; it is not used by that", "Client tokens" },
	{ POST, "/api/v1/client-tokens/refresh", PERM_PUBLIC, LANE_DB, NULL, &client_refresh_schema,
		&client_pair_schema, 200, ROUTE_PER_MINUTE(600), client_token_api_refresh,
		"Exchange a refresh token for a new pair", "Client tokens" },
	{ POST, "/api/v1/client-tokens/revoke", PERM_PUBLIC, LANE_DB, NULL, &client_revoke_schema, NULL, 204, 0,
		client_token_api_revoke, "End the session of a token; it is worth nothing at once", "Client tokens" },
};

struct route_table clients_routes(struct clients *c)
{
	return (struct route_table){ routes, ARRAY_LEN(routes), c };
}

const struct sql_table *const clients_sql[] = { &client_sql, &client_placed_sql, &client_seen_sql, &client_erase_sql,
	&client_session_sql };
const size_t clients_sql_n = ARRAY_LEN(clients_sql);

int clients_new(struct clients **out, const struct clients_conf *conf, struct store *store, struct err *e)
{
	struct clients *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "clients: out of memory");
	c->conf = *conf;
	c->store = store;
	c->limits = (struct clients_limits){ conf->clients_max, conf->anonymous };
	pthread_mutex_init(&c->lock, NULL);
	if (conf->identity != NULL)
		identity_set_clients(conf->identity, client_token_resolve, conf->identity);
	if (rate_limit_new(&c->comers, COMERS_MAX, e) != 0) {
		clients_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

void clients_set_limits(struct clients *c, const struct clients_limits *l)
{
	pthread_mutex_lock(&c->lock);
	c->limits = *l;
	pthread_mutex_unlock(&c->lock);
}

struct clients_limits clients_limits(struct clients *c)
{
	struct clients_limits l;

	pthread_mutex_lock(&c->lock);
	l = c->limits;
	pthread_mutex_unlock(&c->lock);
	return l;
}

void clients_changed(struct clients *c)
{
	if (c->conf.identity != NULL)
		identity_forget(c->conf.identity);
}

uint64_t clients_logins_failed(struct clients *c)
{
	return __atomic_load_n(&c->logins_failed, __ATOMIC_RELAXED);
}

void clients_free(struct clients *c)
{
	if (c == NULL)
		return;
	rate_limit_free(c->comers);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

#define EXPIRE_BATCH 1000
#define ERASE_BATCH  100 /* clients in one transaction: others wait for it */

struct erasing {
	int64_t now_ms;
	unsigned n;
};

static int work_erase(struct db *tx, void *arg, struct err *e)
{
	struct erasing *x = arg;

	return client_erase_some(tx, ERASE_BATCH, x->now_ms, &x->n, e);
}

static int erase(struct clients *c, int64_t now_ms, struct err *e)
{
	struct erasing x = { .now_ms = now_ms };
	struct db *db;
	bool any;
	int rc;

	if (store_read_begin(c->store, &db, e) != 0)
		return -1;
	rc = client_erase_due(db, now_ms, &any, e);
	store_read_end(db);
	if (rc != 0 || !any)
		return rc;
	do {
		if (store_write(c->store, STORE_LOGGED, work_erase, &x, e) != 0)
			return -1;
	} while (x.n == ERASE_BATCH);
	return 0;
}

const struct erasure *const clients_erasures[] = { &client_erasure };
const size_t clients_erasures_n = ARRAY_LEN(clients_erasures);

static int work_expire(struct db *tx, void *arg, struct err *e)
{
	int *ended = arg;

	*ended = client_session_delete_expired(tx, clock_wall_ms(), EXPIRE_BATCH, e);
	return MIN(*ended, 0);
}

static int expire_sessions(struct clients *c, struct err *e)
{
	int ended;

	do {
		if (store_write(c->store, STORE_OPERATIONAL, work_expire, &ended, e) != 0)
			return -1;
	} while (ended == EXPIRE_BATCH);
	return 0;
}

int clients_tick(struct clients *c, int64_t now_ms, struct err *e)
{
	return erase(c, now_ms, e) != 0 ? -1 : expire_sessions(c, e);
}

int clients_see(struct clients *c, int64_t now_ms, struct err *e)
{
	return client_seen_write(c->store, c->conf.statuses, now_ms, e);
}
