/*
 * client_input - what a caller may say about a client: the schemas of its requests and answers, and the rules that a
 * schema cannot express.
 *
 * Pure: no database and no clock of its own.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_INPUT_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_INPUT_H

#include "controld/clients/client.h"
#include "controld/rest/schema.h"

#include <jansson.h>

extern const struct schema client_schema; /* request and answer */
extern const struct schema client_list_query;
extern const struct schema client_list_schema;
extern const struct schema client_rotate_schema;
extern const struct schema client_key_schema;

#define CLIENT_OVERLAP_DEFAULT_MS (INT64_C(24) * 3600 * 1000)

/* A client nobody has written about yet. */
void client_init(struct client *c, int64_t now_ms);
/* Takes over the members that the body has, null resets. Whose it is, and its id, are the caller's business. */
void client_apply(struct client *c, const json_t *body, int64_t now_ms, struct err_list *errs);
struct client_new_key;
/* A key to be registered. */
void client_key_apply(struct client_new_key *k, const json_t *body, int64_t now_ms, struct err_list *errs);
/* How long the secrets before a new one work on. */
int64_t client_overlap_ms(const json_t *body, struct err_list *errs);

#endif
