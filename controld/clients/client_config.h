/*
 * client_config - the part of a client that says how its tunnels behave: the API's `config`, which is also a resource of
 * its own. Everything in it is enforced where the bytes flow.
 *
 * Pure.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_CONFIG_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_CONFIG_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/rest/schema.h"
#include "proto/client_conf.h"

#include <jansson.h>

void client_config_default(struct client_conf *c);
/* Takes the members that are there, null resets one. Adds what is wrong to errs, named "<prefix><member>". */
void client_config_apply(struct client_conf *c, const json_t *config, const char *prefix, struct err_list *errs);
void client_config_print(const struct client_conf *c, const char *key, struct buf *b);
bool client_config_same(const struct client_conf *a, const struct client_conf *b);
/* What the row keeps, read again. */
int client_config_load(struct client_conf *c, const char *text, struct err *e) MUST_CHECK;

extern const struct schema client_config_schema;

#endif
