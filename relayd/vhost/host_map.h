/*
 * host_map - which virtual host a name leads to: the name itself, else the longest wildcard above it.
 *
 * A lookup is one hash for the name, and one for each of its labels if there are wildcards at all: what it costs does not
 * depend on how many names there are.
 *
 * Owner: whoever embeds it. Keeps the names, borrows the virtual hosts. Thread: the owner's.
 */
#ifndef PORTWAY_RELAYD_VHOST_HOST_MAP_H
#define PORTWAY_RELAYD_VHOST_HOST_MAP_H

#include "common/base/macros.h"
#include "common/base/map.h"

#include <stddef.h>

struct vhost;

struct host_map {
	struct map by_name; /* entries, by pattern */
	size_t wild;        /* wildcards among them */
	uint64_t version;   /* another one after each change: for who remembers what was found */
};

void host_map_init(struct host_map *m);
/* Every virtual host has left. */
void host_map_fini(struct host_map *m);
/* Who has this very pattern; NULL: nobody. */
struct vhost *host_map_holder(const struct host_map *m, const char *pattern);
/* -1: out of memory. A pattern that has a holder moves to this one. */
int host_map_add(struct host_map *m, const char *pattern, struct vhost *v) MUST_CHECK;
/* Takes away all that it has. */
void host_map_leave(struct host_map *m, struct vhost *v);
/* For a name in the spelling of host_name_take(); NULL: nobody's. */
struct vhost *host_map_find(const struct host_map *m, const char *name);

#endif
