/*
 * mapping_host - the host names of a mapping: what may be written, who may have which, and the one that controld makes up.
 *
 * Below the domain of the group everybody has what he chooses first; clients without an account get a name that cannot be guessed.
 * Names outside of it are for those whom tunnels.host_names lets; wildcards are for administrators.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_HOST_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_HOST_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/identity/identity.h"
#include "controld/store/store.h"
#include "controld/tunnels/host_name_right.h"
#include "controld/tunnels/mapping.h"

#include <jansson.h>

#define MAPPING_HOSTS_TEXT (MAPPING_HOSTS_MAX * HOST_NAME_SIZE) /* of all names, by comma */

struct tunnels;

/* Takes `host_names` of a body; null: a name is made up. */
void mapping_host_take(struct mapping_conf *c, const json_t *body, struct err_list *errs);
/* As a row keeps them. */
void mapping_host_store(const struct mapping_hosts *h, char dst[MAPPING_HOSTS_TEXT]);
int mapping_host_load(struct mapping_hosts *h, const char *text, struct err *e) MUST_CHECK;
void mapping_host_print(const struct mapping_hosts *h, struct buf *b);

/* Claims the names of *m in its transaction, and makes one up if it has none. before: as it was, NULL: a new mapping. */
int mapping_host_claim(struct db *tx, struct tunnels *t, const struct identity *who, struct mapping *m,
	const struct mapping *before, struct err *e) MUST_CHECK;

#define MAPPING_URL_SIZE (HOST_NAME_SIZE + 24)
/* Where it is reached; "": nobody knows, or it has no single name. */
void mapping_host_url(struct tunnels *t, const struct mapping *m, char dst[MAPPING_URL_SIZE]);

#endif
