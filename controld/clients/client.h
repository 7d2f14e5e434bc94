/*
 * client - a machine that reaches the relays by itself: what an agent signs in as. The row of the table, its SQL, and
 * how the API prints it. What a caller may write is in client_input.h, its secrets are in client_secret.h.
 *
 * What the relays know is a struct client_conf inside; around it stands who owns it.
 *
 * Owner: the caller, usually on the stack; nothing to release.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/client_conf.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_ID_MAX     (INT64_C(1) << 53) /* below it: a JSON number holds it */
#define CLIENT_NAME_MAX   128                /* characters; up to 4 bytes each */
#define CLIENT_OBJECT_MAX (32 * 1024)        /* bytes of a printed client */

enum client_type { CLIENT_REGISTERED, CLIENT_ANONYMOUS };

/* What is known of a key beside what the relays need; conf.keys[i] is the key itself. */
enum client_key_kind { CLIENT_KEY_SECRET, CLIENT_KEY_PUBLIC, CLIENT_KEY_CERTIFICATE };
struct client_secret {
	char id[16];
	enum client_key_kind kind; /* made here as a secret, or registered */
	int64_t created_ms;
};

struct client {
	int64_t id;
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE]; /* "" when an API key of no user made it, or nobody (anonymous) */
	char name[4 * CLIENT_NAME_MAX + 1];
	enum client_type type;
	bool active;       /* the wish */
	bool deleting;     /* off, and its rows go one after the other */
	bool owner_active; /* reading only: neither user nor tenant is suspended or going */
	int64_t version;   /* of the row */
	int64_t seq;       /* of its newest change in the log */
	int64_t created_ms, updated_ms;
	struct client_secret secrets[CLIENT_KEYS_MAX]; /* newest first, as conf.keys */
	struct client_conf conf;                       /* `enabled` and `tenant` are made when a relay is told */
};

/* The id as the relays and the change log write it. */
void client_id_print(char dst[PROTO_ID_SIZE], int64_t id);
/* Decimal, from 1 to below CLIENT_ID_MAX: 0 or -1. */
int client_id_parse(const char *s, int64_t *out) MUST_CHECK;
const char *client_type_name(enum client_type type);

struct client_live;
/* The object of the API; live NULL: as the change log keeps it, without what only relays know. */
void client_print(struct buf *b, const char *key, const struct client *c, const struct client_live *live);
/* The same, with a secret that is shown this once. */
void client_print_with_secret(
	struct buf *b, const struct client *c, const struct client_live *live, const char *secret);
/* Names of the members that differ, comma-separated. */
void client_diff(const struct client *a, const struct client *b, struct buf *fields);

/* ---- rows --------------------------------------------------------------------------------------------------------- */
/* What a SELECT reads for client_load(): clients must be called c. */
#define CLIENT_COLUMNS                                                                                       \
	"c.id, c.tenant_id, c.user_id, c.name, c.type, c.status, c.single, c.config, c.keys, c.expires_ms, " \
	"c.version, c.seq, c.created_ms, c.updated_ms, CASE WHEN " CLIENT_OWNER_ACTIVE " THEN 1 ELSE 0 END"
#define CLIENT_OWNER_ACTIVE                                                                                         \
	"EXISTS (SELECT 1 FROM tenants n WHERE n.id = c.tenant_id AND n.status = 'active') AND (c.user_id = '' OR " \
	"EXISTS (SELECT 1 FROM users u WHERE u.id = c.user_id AND u.status = 'active'))"
int client_load(struct client *c, struct query *q, struct err *e) MUST_CHECK;

/* ERR_CLIENT_NOT_FOUND when the tenant ("": any) has no such client, or it is going. */
int client_get(struct db *db, const char *tenant_id, int64_t id, struct client *out, struct err *e) MUST_CHECK;
int client_exists(struct db *db, const char *tenant_id, int64_t id, bool *exists, struct err *e) MUST_CHECK;

/* Members that are "" do not filter. */
struct client_filter {
	const char *tenant_id, *user_id, *type;
	const char *search; /* beginning of the name, or the id */
	int64_t after;      /* id of the last one seen */
	unsigned limit;
};
/* In the order of their ids. fn: 0 goes on, 1 stops. */
typedef int (*client_fn)(const struct client *c, void *arg);
int client_list(struct db *db, const struct client_filter *f, client_fn fn, void *arg, struct err *e) MUST_CHECK;
/* tenant "" and user "" do not filter; type NULL neither. */
int client_count(struct db *db, const char *tenant_id, const char *user_id, const char *type, int64_t *n,
	struct err *e) MUST_CHECK;

/* c->id: the one that is asked for, or 0 and one is picked. ERR_CLIENT_ALREADY_EXISTS. */
int client_pick_id(struct db *tx, struct client *c, struct err *e) MUST_CHECK;
int client_insert(struct db *tx, const struct client *c, struct err *e) MUST_CHECK;
int client_update(struct db *tx, const struct client *c, struct err *e) MUST_CHECK;
int client_delete(struct db *tx, int64_t id, struct err *e) MUST_CHECK;

/* Who changes it, for which request, when. */
struct client_actor {
	const char *name;
	const char *request_id; /* "" for none */
	int64_t now_ms;
};
/* Logs what was done to *c, as it stands now, and puts the number of that change into c->seq. */
int client_log(struct db *tx, struct client *c, const char *op, const char *fields, const struct client_actor *by,
	struct err *e) MUST_CHECK;

extern const struct sql_table client_sql;

#endif
