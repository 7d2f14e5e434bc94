/*
 * picks - what the entries of one or several updates say, by object id, until they are merged into a new snapshot.
 *
 * Owner: whoever embeds it (zeroed is empty). Thread: control thread. Used inside conf/ only.
 */
#ifndef PORTWAY_RELAYD_CONF_PICKS_H
#define PORTWAY_RELAYD_CONF_PICKS_H

#include "relayd/conf/snapshot.h"

struct pick;
struct picks {
	struct pick *items;
	size_t n, cap;
};

/* Every entry of `u`; an object that `base` already holds in this version is shared. On error what came before stays. */
int picks_add(struct picks *p, const struct snapshot *base, const struct msg_update *u, struct err *e) MUST_CHECK;
/* base with the picks on top, at revision `to`. A later entry wins over an earlier one of the same id. */
int picks_merge(struct picks *p, struct snapshot **out, const struct snapshot *base, const struct proto_revision *to,
	struct err *e) MUST_CHECK;
void picks_free(struct picks *p);

#endif
