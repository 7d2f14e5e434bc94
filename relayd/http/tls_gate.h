/*
 * tls_gate - a connection to a host that routes claim on the TLS port, until its handshake is over; then it is an HTTP/1.1 or an HTTP/2
 * connection, as was agreed on, and the gate is gone.
 *
 *   take --> [PROXY header] --> handshake --> h1_front | h2_front | end (a CA saw what it wanted to see)
 *
 * Owner: the desk. Thread: the worker's.
 * Ends:  by itself, or tls_gate_cut(); the memory goes at the end of the round.
 */
#ifndef PORTWAY_RELAYD_HTTP_TLS_GATE_H
#define PORTWAY_RELAYD_HTTP_TLS_GATE_H

#include <stdbool.h>

struct addr;
struct front_seat;
struct http_desk;
struct list;
struct site_seat;
struct tls_gate;

/* A connection for this site's host; takes fd. proxied: a PROXY header stands in front of the handshake. */
void tls_gate_take(struct http_desk *d, const struct site_seat *site, struct front_seat *seat, int fd,
	const struct addr *from, bool proxied);
struct tls_gate *tls_gate_of(struct list *in_desk);
void tls_gate_cut(struct tls_gate *g);

#endif
