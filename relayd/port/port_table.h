/*
 * port_table - the ports of a service, and the questions that go through all of them.
 *
 * Owner: the port service. Thread: control thread; what touches lanes runs on the workers, one after the other, so the
 * callbacks may use what only one thread may touch.
 */
#ifndef PORTWAY_RELAYD_PORT_PORT_TABLE_H
#define PORTWAY_RELAYD_PORT_PORT_TABLE_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "relayd/loop/service.h"

struct port;
struct workers;

struct port_table {
	struct map by_id; /* mapping id */
	struct list gone; /* deleted mappings whose connections go on */
	struct workers *workers;
};

void port_table_init(struct port_table *t, struct workers *workers);
void port_table_fini(struct port_table *t);
void port_table_stats(const struct port_table *t, struct service_stats *out);
/* mapping NULL: of every mapping. */
void port_table_list(struct port_table *t, const char *mapping, conn_info_fn fn, void *arg);
/* True when the connection was found, and ended. */
bool port_table_cut(struct port_table *t, uint64_t conn);
/* Every socket that listens, and the sessions that go with them. What fn answered, if not 0. */
int port_table_hand_over(struct port_table *t, handover_fn fn, void *arg);

#endif
