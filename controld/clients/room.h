/*
 * room - the inside of struct clients, and the handlers that its table of routes (clients.c) names. For the files of this
 * folder only.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_ROOM_H
#define PORTWAY_CONTROLD_CLIENTS_ROOM_H

#include "controld/clients/clients.h"
#include "controld/rest/route.h"

#include <pthread.h>

struct rate_limit;

struct clients {
	struct clients_conf conf;
	struct store *store;
	pthread_mutex_t lock; /* of the limits */
	struct clients_limits limits;
	struct rate_limit *comers; /* through the anonymous door, by address */
	uint64_t logins_failed;    /* atomic */
};

/* After the commit of what may switch a client off: its tokens are looked at again. */
void clients_changed(struct clients *c);

struct clients_limits clients_limits(struct clients *c);

/* client_api.c */
int client_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_get_config(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_put_config(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_rotate(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_add_key(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_drop_secret(void *feature, struct request *rq, struct reply *rp, struct err *e);

/* The rows of another tenant than the caller's. */
int client_api_list_of(
	struct clients *c, struct request *rq, struct reply *rp, const char *tenant_id, struct err *e) MUST_CHECK;
int client_api_get_of(
	struct clients *c, struct request *rq, struct reply *rp, const char *tenant_id, struct err *e) MUST_CHECK;

/* anonymous.c */
int anonymous_api_come(void *feature, struct request *rq, struct reply *rp, struct err *e);
int anonymous_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int anonymous_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int anonymous_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);
int anonymous_api_cleanup(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_self(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_api_end_self(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema anonymous_come_schema, anonymous_came_schema;

/* client_token_api.c */
int client_token_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_token_api_login(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_token_api_end_all(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_token_api_validate(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_token_api_validate_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_token_api_refresh(void *feature, struct request *rq, struct reply *rp, struct err *e);
int client_token_api_revoke(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema client_login_schema, client_access_schema, client_refresh_schema, client_revoke_schema,
	client_pair_schema;

extern const struct sql_table client_placed_sql, client_seen_sql, client_erase_sql;

#endif
