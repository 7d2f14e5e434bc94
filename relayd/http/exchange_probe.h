/*
 * exchange_probe - the probes of adaptive_ai (relayd/lb/lb_adaptive.h): how fast each backend of a pool answers now, asked by the relay
 * itself, on connections as requests use them, while nobody waits for it.
 *
 * A probe is an exchange without a client or a route: the request of the backend's HTTP check, where it has one on its own port; else
 * the way there alone (TCP, TLS, or through its agent). A backend may say in its answer how many requests it has in flight, in the field
 * X-Requests-In-Flight: those that are not of this relay count, too. A probe takes a place where there is a limit to them, and is
 * not sent where none is free. Counted by http_counter `probes`, `probes_failed`; in no tally of a route or backend.
 *
 * Owner:  the desk, which has at most EXCHANGE_PROBES_MAX under way. Thread: the worker's.
 * Ends:   with its answer, after a second, or exchange_probes_cancel().
 */
#ifndef PORTWAY_RELAYD_HTTP_EXCHANGE_PROBE_H
#define PORTWAY_RELAYD_HTTP_EXCHANGE_PROBE_H

#include "common/http/http_head.h"

#include <stdint.h>

struct exchange;
struct http_desk;
struct pool;

#define EXCHANGE_PROBES_MAX 64

/* A request has just found its backend: one of the pool is probed, if it is time for that. */
void exchange_probe(struct http_desk *d, struct pool *p);
/* Of that pool, which changes; NULL: all. Nothing is told of them. */
void exchange_probes_cancel(struct http_desk *d, const struct pool *p);

/* ---- for exchange*.c: what the back says of one; each may close it: last ---------------------------------------------------- */
void exchange_probe_head(struct exchange *x, const struct http_head *head);
void exchange_probe_content(struct exchange *x, size_t n);
void exchange_probe_end(struct exchange *x);
void exchange_probe_failed(struct exchange *x, bool timed_out);

#endif
