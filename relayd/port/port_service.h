/*
 * port_service - the ports of one protocol: follows the configuration, retries what was refused, ends what expired.
 *
 * It is the body of a struct service (relayd/loop/service.h); a protocol's service is a const table of these functions
 * and its port_kind.
 *
 * Owner:  app. Thread: control thread.
 * Ends:   port_service_stop(), after the workers were stopped; its memory goes with the loop's next turn.
 */
#ifndef PORTWAY_RELAYD_PORT_PORT_SERVICE_H
#define PORTWAY_RELAYD_PORT_PORT_SERVICE_H

#include "relayd/loop/service.h"

struct err;
struct port_kind;
struct port_service;

int port_service_new(struct port_service **out, const struct port_kind *kind, const struct service_env *env,
	struct err *e) MUST_CHECK;

/* The functions of struct service_ops; self is the port service. */
void port_service_apply(void *self, struct snapshot *old, struct snapshot *new_);
void port_service_quiesce(void *self, bool handed_over);
void port_service_drain(void *self, uint64_t deadline_mono_ms);
void port_service_stop(void *self);
void port_service_stats(void *self, struct service_stats *out);
void port_service_list(void *self, const char *mapping, conn_info_fn fn, void *arg);
bool port_service_cut(void *self, uint64_t conn);
int port_service_hand_over(void *self, handover_fn fn, void *arg);
void port_service_adopt(void *self, const struct handover_socket *s);

/* A service that has nothing but its ports. */
#define PORT_SERVICE_OPS(service)                                                                        \
	{                                                                                                \
		.name = service, .apply = port_service_apply, .quiesce = port_service_quiesce,           \
		.drain = port_service_drain, .stop = port_service_stop, .stats = port_service_stats,     \
		.list = port_service_list, .cut = port_service_cut, .hand_over = port_service_hand_over, \
		.adopt = port_service_adopt                                                              \
	}

#endif
