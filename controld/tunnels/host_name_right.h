/*
 * host_name_right - who may have which host name on the relays of a group.
 *
 * Below the domain of the group everybody has what he chooses first. Names outside of it are for those whom tunnels.host_names
 * lets; wildcards are for administrators.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_HOST_NAME_RIGHT_H
#define PORTWAY_CONTROLD_TUNNELS_HOST_NAME_RIGHT_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/identity/identity.h"

/* Who may have a name outside of the group's domain. */
enum host_names_by { HOST_NAMES_BY_OPERATOR, HOST_NAMES_BY_ADMIN, HOST_NAMES_BY_SYSTEM };

/* ERR_FORBIDDEN, naming the field that the name was written in. domain "": the group has none. */
int host_name_right(enum host_names_by by, const struct identity *who, const char *domain, const char *field,
	const char *name, struct err *e) MUST_CHECK;

#endif
