/*
 * mapping - one tunnel mapping: an ingress (ports of the relays of a group) and an egress (an address a relay dials).
 * The row of the table, its SQL, and how the API prints it. What a caller may write is in mapping_input.h.
 *
 * What the relays run is a struct mapping_conf inside; around it stands who owns it and where it is placed.
 *
 * Owner: the caller, usually on the stack; mapping_fini() releases the lists of the conf.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/clients/client.h"
#include "controld/store/store.h"
#include "controld/tunnels/traffic.h"
#include "proto/mapping_conf.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define MAPPING_NAME_MAX        128 /* characters; up to 4 bytes each */
#define MAPPING_DESCRIPTION_MAX 1024
#define MAPPING_OBJECT_MAX      (96 * 1024) /* bytes of a printed mapping: three full lists of ranges */

struct mapping {
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE]; /* "" when an API key of no user made it */
	char name[4 * MAPPING_NAME_MAX + 1];
	char description[4 * MAPPING_DESCRIPTION_MAX + 1];
	char group_id[PROTO_ID_SIZE], group_name[PROTO_NAME_SIZE]; /* the name as the caller wrote it */
	char node_id[PROTO_ID_SIZE], node_name[PROTO_NAME_SIZE];   /* "" = every node of the group */
	bool active;                                               /* the wish */
	bool owner_active; /* reading only: neither user, tenant nor a client at one of its ends is switched off or going */
	bool over_quota;    /* reading only: what its user may pass in this month is used up */
	uint8_t port_picks; /* how often controld picked its ports; 0: they are settled (mapping_port.h) */
	int64_t version;    /* of the row */
	int64_t seq;        /* of its newest change in the log */
	int64_t created_ms, updated_ms;
	struct mapping_conf conf; /* `enabled` and `dial_allow` are made when a relay is told (mapping_placed.c) */
};

void mapping_fini(struct mapping *m);
const char *mapping_protocol_name(const struct mapping_conf *c);
/* Of its ports: "tcp" or "udp". */
const char *mapping_transport_name(const struct mapping_conf *c);
/* "tcp" for what is none. */
uint8_t mapping_protocol_parse(const char *name);
/* Wanted now: a mapping that is not, is off on every relay. */
bool mapping_serves(const struct mapping *m, int64_t now_ms);

/* What is known about a mapping besides its row. */
struct mapping_live {
	const char *status;            /* "pending", "active", "error", "inactive" */
	json_t *error;                 /* reasons by node, or NULL */
	const char *source, *target;   /* how the clients at its ends are; NULL: there is none, or it is not known */
	char url[HOST_NAME_SIZE + 24]; /* where a mapping with host names is reached; "": nobody knows */
	struct traffic traffic;
};
/* The object of the API; live NULL: as the change log keeps it, with the wish as status. */
void mapping_print(struct buf *b, const char *key, const struct mapping *m, const struct mapping_live *live);
/* Names of the members that differ, comma-separated. */
void mapping_diff(const struct mapping *a, const struct mapping *b, struct buf *fields);

/* ---- rows --------------------------------------------------------------------------------------------------------- */
/* A SELECT of mapping_columns.h. */
int mapping_load(struct mapping *m, struct query *q, struct err *e) MUST_CHECK;

/* ERR_MAPPING_NOT_FOUND when the tenant has no such mapping. *m is released by the caller on success. */
int mapping_get(struct db *db, const char *tenant_id, const char *id, struct mapping *m, struct traffic *t,
	struct err *e) MUST_CHECK;

/* 1 and the client that serves it (0: none), or 0 when the tenant has no such mapping. */
int mapping_find(struct db *db, const char *tenant_id, const char *id, int64_t *client_id, struct err *e) MUST_CHECK;

/* Members that are "" do not filter. */
struct mapping_filter {
	const char *tenant_id, *user_id, *protocol, *group, *node;
	int64_t client_id;  /* whose agent dials; 0: any */
	int64_t end_id;     /* the client at one of its ends; 0: any */
	const char *search; /* beginning of the name or of the target's host, or the id */
	const char *after;  /* id of the last one seen */
	unsigned limit;
};
/* In the order of their ids. fn: 0 goes on, 1 stops. */
typedef int (*mapping_fn)(const struct mapping *m, const struct traffic *t, void *arg);
int mapping_list(struct db *db, const struct mapping_filter *f, mapping_fn fn, void *arg, struct err *e) MUST_CHECK;
struct mapping_counts {
	int64_t all, active; /* active: by their wish */
};
int mapping_count_of_tenant(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;
/* tenant "" and user "" do not filter. */
int mapping_count(struct db *db, const char *tenant_id, const char *user_id, struct mapping_counts *out,
	struct err *e) MUST_CHECK;
/* With a client at one of their ends; group "": in all. */
int mapping_count_of_client(
	struct db *db, int64_t client_id, const char *group_id, struct mapping_counts *out, struct err *e) MUST_CHECK;

/* 0: the relay dials by itself. */
int64_t mapping_client(const struct mapping *m);
void mapping_set_client(struct mapping *m, int64_t client_id);
/* 0: the ports are the relays'. */
int64_t mapping_source(const struct mapping *m);
void mapping_set_source(struct mapping *m, int64_t client_id);

int mapping_insert(struct db *tx, const struct mapping *m, struct err *e) MUST_CHECK;
int mapping_update(struct db *tx, const struct mapping *m, struct err *e) MUST_CHECK;
int mapping_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;

extern const struct sql_table mapping_sql, mapping_placed_sql; /* the second of mapping_placed.c */

#endif
