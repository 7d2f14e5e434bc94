/*
 * services - all forwarding services together: what app and uplink ask of each of them.
 *
 * Owner: app, embedded. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_SERVICES_H
#define PORTWAY_RELAYD_SERVICES_H

#include "relayd/loop/service.h"

#define SERVICES_MAX 8

struct err;

struct services {
	struct service list[SERVICES_MAX];
	size_t n;
};

/* By the name of its ops; NULL: there is none. */
struct service *services_find(struct services *s, const char *name);
/* Adds every service that needs no more than env to those that are there. On error those that were made are there, for services_stop(). */
int services_init(struct services *s, const struct service_env *env, struct err *e) MUST_CHECK;
void services_apply(struct services *s, struct snapshot *old, struct snapshot *new_);
void services_quiesce(struct services *s, bool handed_over);
void services_drain(struct services *s, uint64_t deadline_mono_ms);
void services_stop(struct services *s);
void services_stats(struct services *s, struct service_stats *sum);
/* At most max; *more when there were others. The number written. */
uint32_t services_connections(struct services *s, const char *mapping, struct conn_info *out, uint32_t max, bool *more);
bool services_cut(struct services *s, uint64_t conn);
/* fn is called with the service's name too, which services_adopt() needs to know. 0, or what fn answered. */
typedef int (*services_socket_fn)(const char *service, const struct handover_socket *s, void *arg);
int services_hand_over(struct services *s, services_socket_fn fn, void *arg);
/* Takes the descriptor in any case. */
void services_adopt(struct services *s, const char *service, const struct handover_socket *socket);

#endif
