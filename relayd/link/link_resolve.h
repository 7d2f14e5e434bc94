/*
 * link_resolve - which of a controld's addresses to dial: a name may have several, one for each of the controlds that
 * share a database, and every try takes the next one.
 *
 * Thread: the link process's; it blocks for as long as the resolver does.
 */
#ifndef PORTWAY_RELAYD_LINK_LINK_RESOLVE_H
#define PORTWAY_RELAYD_LINK_LINK_RESOLVE_H

#include "common/base/macros.h"
#include "common/net/addr.h"

struct err;

/* "host:port" -> the address whose turn it is, with port; the same turn means the same one while the name does not change. */
int link_resolve(const char *target, unsigned turn, char dst[ADDR_STRLEN], struct err *e) MUST_CHECK;

#endif
