/*
 * api - the inside of struct tunnels, and the handlers that its table of routes (tunnels.c) names. For the files of this
 * folder only.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_API_H
#define PORTWAY_CONTROLD_TUNNELS_API_H

#include "controld/rest/route.h"
#include "controld/tunnels/series.h"
#include "controld/tunnels/tunnels.h"

#include <pthread.h>

struct tunnels {
	struct tunnels_conf conf;
	struct store *store;
	struct parks *parks;
	struct mapping_statuses *statuses;
	struct relays relays;
	pthread_mutex_t lock; /* of the limits */
	struct tunnels_limits limits;
	struct series *series; /* NULL: none are kept */
};

struct tunnels_limits tunnels_limits(struct tunnels *t);

/* The client of the caller's tenant that the path names; ERR_CLIENT_NOT_FOUND. */
int tunnels_client_of(struct tunnels *t, const struct request *rq, int64_t *id, struct err *e) MUST_CHECK;

/* mapping_api.c, and mapping_list_api.c for lists */
int mapping_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_create_own(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_delete_own(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_own(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_anonymous(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_of_client(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);

/* connection_api.c */
int connection_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int connection_api_of_client(void *feature, struct request *rq, struct reply *rp, struct err *e);
int connection_api_of_mapping(void *feature, struct request *rq, struct reply *rp, struct err *e);
int connection_api_cut(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema connection_list_query;
extern const struct schema connection_of_mapping_query;
extern const struct schema connection_list_schema;

/* quota_api.c */
int quota_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int quota_api_put(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema quota_schema;

/* connection_code_api.c, and in mapping_api.c what using one does */
int connection_code_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int connection_code_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int connection_code_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);
int mapping_api_redeem(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema connection_code_schema, connection_code_redeem_schema;

/* search_api.c */
int search_api(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema search_query_schema;

/* stats_api.c */
int stats_api_traffic(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_system(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_user(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_client(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_mapping(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_node(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema stats_query;
extern const struct sql_table stats_sql;

#endif
