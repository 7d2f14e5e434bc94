/*
 * service - what app.c knows of a forwarding service (stream, datagram, later http): one small interface.
 *
 * Thread: control thread. apply() returns when every worker runs the new state for new connections; it never fails as
 * a whole: an object that cannot work goes to the refusal list and is retried by the service.
 */
#ifndef PORTWAY_RELAYD_LOOP_SERVICE_H
#define PORTWAY_RELAYD_LOOP_SERVICE_H

#include "common/base/macros.h"
#include "proto/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot;

struct service_stats {
	uint64_t connections; /* now */
	uint64_t ports;       /* listening sockets */
	uint64_t fds;         /* descriptors held */
};

/* Sockets that a successor takes over. purpose says which; key identifies (object id, port, address). */
struct handover_socket {
	int fd;
	char key[160];      /* "tcp/<bind>/<port>/<n>", "udp/...", "session/..." */
	const void *record; /* bytes that go with it (a UDP session's addresses); NULL: none */
	size_t record_n;
};
typedef int (*handover_fn)(const struct handover_socket *s, void *arg); /* 0 goes on */
typedef bool (*conn_info_fn)(const struct conn_info *c, void *arg);     /* false: enough */

struct service_ops {
	const char *name;
	void (*apply)(void *self, struct snapshot *old, struct snapshot *new_);
	/* Stop accepting now (handed_over: a successor serves from the sockets; else: we end); live connections go on. */
	void (*quiesce)(void *self, bool handed_over);
	/* End what is left, at the latest by then (0: at once). */
	void (*drain)(void *self, uint64_t deadline_mono_ms);
	/* Joins nothing, frees everything; the workers have been stopped. */
	void (*stop)(void *self);
	void (*stats)(void *self, struct service_stats *out);
	void (*list)(void *self, const char *mapping, conn_info_fn fn, void *arg);
	bool (*cut)(void *self, uint64_t conn);
	int (*hand_over)(void *self, handover_fn fn, void *arg);
	/* A socket of the predecessor, before the first apply(); takes the descriptor in any case. */
	void (*adopt)(void *self, const struct handover_socket *s);
};

struct service {
	const struct service_ops *ops;
	void *self;
};

/* What every service is made with; borrowed, and outlives it. */
struct service_env {
	struct workers *workers;
	struct fd_budget *fds;
	struct meter *meter;
	struct refusals *refusals;
	struct uv_loop_s *loop;       /* the control thread's */
	struct agents *agents;        /* NULL: this relay takes none */
	const struct certs *certs;    /* what is shown to clients over TLS (relayd/tls/certs.h) */
	struct front **fronts;        /* the shared ports, by enum front_kind (relayd/vhost/front.h) */
	const struct http_conf *http; /* NULL: no routes (relayd/http/http_conf.h) */
	struct quotas *quotas;        /* NULL: mappings are not metered by one */
};

#endif
