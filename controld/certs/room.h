/*
 * room - the inside of struct certs. For the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_CERTS_ROOM_H
#define PORTWAY_CONTROLD_CERTS_ROOM_H

#include "controld/certs/certificate.h"
#include "controld/certs/certs.h"

struct certs {
	struct certs_conf conf;
	struct store *store;
};

/* certificate_api.c */
extern const struct route certificate_rows[];
extern const size_t certificate_rows_n;
/* certificate_placed.c, ticket_keys.c */
extern const struct sql_table certificate_placed_sql, ticket_keys_sql;

#endif
