/*
 * session - one TCP connection through a port: the client's socket, the target's socket, and a flow each way.
 *
 * Owner:  its lane (the list of sessions). Thread: the worker's.
 * Ends:   by itself, by session_cut(), or by the lane's limits; the first reason wins. Sockets are closed at once, the
 *         memory goes at the end of the round.
 * Its routing is fixed when it starts; limits and time-outs are the lane's of the moment.
 */
#ifndef PORTWAY_RELAYD_STREAM_SESSION_H
#define PORTWAY_RELAYD_STREAM_SESSION_H

#include "relayd/limit/gate.h"

#include <stddef.h>
#include <stdint.h>

struct addr;
struct conn_info;
struct flow;
struct list;
struct session;
struct tcp_lane;
struct visit;

size_t session_size(void);
struct session *session_of(struct list *link); /* in tcp_lane.sessions */

/* An accepted connection; takes fd, and refuses it if it may not come in. */
void session_open(struct tcp_lane *l, int fd, const struct addr *from, uint16_t target_port);
/* A stream of the source client's agent; refuses it if it may not come in. */
void session_visit(struct tcp_lane *l, const struct visit *v);
/* Ends it with a reset on both sides. */
void session_cut(struct session *s);
/* The lane's configuration changed: its time-outs are the new ones. */
void session_on_limits(struct session *s);
/* The rate that its flow waited for has tokens again. */
void session_on_refill(struct flow *f, enum gate_way way);

uint64_t session_id(const struct session *s);
void session_info(const struct session *s, struct conn_info *out);

#endif
