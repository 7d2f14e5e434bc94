/*
 * mapping_socks - what a SOCKS5 mapping has of its own: who may come in, and what may be reached.
 *
 * The password is taken and never kept or answered: the row holds a salt and a proof (common/crypto/socks_proof.h).
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_SOCKS_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_SOCKS_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/mapping_conf.h"

#include <jansson.h>

#define MAPPING_SOCKS_PROOF_TEXT (2 * (MAPPING_SOCKS_SALT + MAPPING_SOCKS_PROOF) + 1)

void mapping_socks_apply(struct mapping_conf *c, const json_t *body, struct err_list *errs);
/* Rules that need more than one member. */
void mapping_socks_check(const struct mapping_conf *c, struct err_list *errs);
void mapping_socks_store(const struct mapping_conf *c, char proof[MAPPING_SOCKS_PROOF_TEXT]);
void mapping_socks_load(struct mapping_conf *c, const char *proof);

#endif
