/*
 * connection_code - a word that opens one target behind a client's agent once: whoever has it gets a port for his own
 * address. The row of its table and its SQL.
 *
 * The code is shown when it is made; the table keeps its hash. It ends after minutes, or when it was used.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_CONNECTION_CODE_H
#define PORTWAY_CONTROLD_TUNNELS_CONNECTION_CODE_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/store/store.h"
#include "proto/mapping_conf.h"
#include "proto/msg.h"

#include <stdint.h>

#define CONNECTION_CODE_SIZE 15  /* "ABCD-EFGH-JKMN" */
#define CONNECTION_CODES_MAX 100 /* of one tenant at once */

struct connection_code {
	char id[RAND_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE]; /* who made it, and whose the mapping will be */
	int64_t client_id;
	uint8_t protocol; /* enum mapping_protocol */
	char target_host[MAPPING_HOST_SIZE];
	uint16_t target_port;
	int64_t lifetime_ms; /* of the port, from its use on */
	int64_t created_ms, expires_ms;
};

/* A new code: c->id and what is to be shown. 60 random bits, without letters that look alike. */
void connection_code_make(struct connection_code *c, char text[CONNECTION_CODE_SIZE]);
int connection_code_insert(struct db *tx, const struct connection_code *c, const char *text, struct err *e) MUST_CHECK;
/* Takes it out of the table: 0 and *out, or ERR_INVALID_TOKEN. Blanks, dashes and case do not matter. */
int connection_code_use(
	struct db *tx, const char *text, int64_t now_ms, struct connection_code *out, struct err *e) MUST_CHECK;
typedef int (*connection_code_fn)(const struct connection_code *c, void *arg);
/* Of a tenant, the oldest first; those that have ended are left out. */
int connection_code_list(struct db *db, const char *tenant_id, int64_t now_ms, connection_code_fn fn, void *arg,
	struct err *e) MUST_CHECK;
/* How many went. */
int connection_code_delete(struct db *tx, const char *tenant_id, const char *id, struct err *e) MUST_CHECK;
int connection_code_expire(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table connection_code_sql;
struct erasure;
extern const struct erasure connection_code_erasure;

#endif
