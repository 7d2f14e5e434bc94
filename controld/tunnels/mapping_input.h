/*
 * mapping_input - what a caller may say about a mapping: the schemas of its requests and answers, and the rules that a
 * schema cannot express. Every error of one body is reported at once.
 *
 * Pure: no database and no clock of its own.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_INPUT_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_INPUT_H

#include "controld/rest/schema.h"
#include "controld/tunnels/mapping.h"

extern const struct schema mapping_schema; /* request and answer */
extern const struct schema mapping_list_query;
extern const struct schema mapping_of_client_query;
extern const struct schema mapping_own_schema; /* what a client may ask for about itself */
extern const struct schema mapping_list_schema;

/* A mapping nobody has written about yet. */
void mapping_init(struct mapping *m);
/* Takes over what the body says: all of a new mapping (id still ""), the members sent of an old one, null resets.
 * Ports that are to be picked are 0 up to their number less one. Adds what is wrong to errs, where what the schema has found is already:
 * those members are not in the body. */
void mapping_apply(struct mapping *m, const json_t *body, int64_t now_ms, struct err_list *errs);

#endif
