/*
 * source_table - what each source address holds of one mapping: connections now, and how fast it opens new ones.
 *
 * Made when a mapping has such a limit, and shared by the workers behind one lock: it is taken when a connection opens
 * and when it ends, never for its bytes. An IPv6 source counts by its /64, which is what one site is given.
 *
 * Owner:  a gate. Thread: any.
 * Limit:  nobody is refused because others came from many addresses. Who has connections is in the table, and those have bounds of
 *         their own (descriptors, the mapping's limit). Who has none is remembered only while its rate is below a full burst, and
 *         SOURCES_IDLE_MAX of these: the one that left longest ago, whose burst is nearest to full, is forgotten first.
 */
#ifndef PORTWAY_RELAYD_LIMIT_SOURCE_TABLE_H
#define PORTWAY_RELAYD_LIMIT_SOURCE_TABLE_H

#include "common/base/macros.h"

#include <stdint.h>

#define SOURCES_IDLE_MAX 65536

struct addr;
struct source;
struct source_table;

int source_table_new(struct source_table **out) MUST_CHECK;
/* Every source has been left. */
void source_table_free(struct source_table *t);
/* The source, to be left later; NULL: one of the limits (0: none) holds it off, or there is no memory. */
struct source *source_table_enter(
	struct source_table *t, const struct addr *a, uint32_t max_now, uint32_t per_s, uint64_t now_ns);
void source_table_leave(struct source_table *t, struct source *s, uint64_t now_ns);

#endif
