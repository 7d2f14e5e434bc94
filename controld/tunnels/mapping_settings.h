/*
 * mapping_settings - what may be tuned on a mapping: limits, filters, PROXY protocol, time-outs, the end of its life.
 *
 * One const table row per setting says where it is in the API's object, where it is in struct mapping_conf and what its
 * default is. Reading a request, printing an answer, storing a row and naming what changed all come from that table; the
 * ranges are the schema's (mapping_schema.c). A row is stored as the JSON of what is not the default, so a new setting
 * needs no migration, and a better default reaches every mapping that did not choose.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_SETTINGS_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_SETTINGS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/mapping_conf.h"

#include <jansson.h>

/* Every setting to its default for c->protocol; the CIDR lists are released. */
void mapping_settings_default(struct mapping_conf *c);
/* Takes over the members that are there; null resets to the default, a whole section likewise. What is wrong is added
 * to errs and left out. c->protocol is set. */
void mapping_settings_apply(struct mapping_conf *c, const json_t *body, struct err_list *errs);
/* Rules that need more than one member. */
void mapping_settings_check(const struct mapping_conf *c, struct err_list *errs);
/* All of them as members of the object that is open in b. */
void mapping_settings_print(const struct mapping_conf *c, struct buf *b);
/* An object of those that are not the default, and back. */
void mapping_settings_store(const struct mapping_conf *c, struct buf *b);
int mapping_settings_load(struct mapping_conf *c, const char *text, struct err *e) MUST_CHECK;
/* Appends ",limits" for each top-level member that differs. */
void mapping_settings_diff(const struct mapping_conf *a, const struct mapping_conf *b, struct buf *fields);

#endif
