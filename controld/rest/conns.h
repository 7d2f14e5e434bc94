/*
 * conns - the listening socket and the set of connections: how many, from where, until when.
 *
 * Owner:  the server. Thread: loop.
 * Ends:   conns_drain() stops accepting and ends idle connections, conns_free() ends all.
 */
#ifndef PORTWAY_CONTROLD_REST_CONNS_H
#define PORTWAY_CONTROLD_REST_CONNS_H

#include "common/base/macros.h"
#include "controld/rest/conn.h"
#include "controld/rest/strict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNS_WRITE_MAX (256 << 10) /* bytes at once; libevent's own 16 KiB would be three turns for a list */

struct err;
struct loop;
struct rest_metrics;
struct server_conf;
struct tls_ctx;

/* A whole request came (or one that must be refused). Takes `in` over. Answers with conn_answer(), now or later. */
typedef void (*conns_fn)(void *arg, struct conn *c, struct conn_input *in);

int conns_new(struct conns **out, const struct server_conf *conf, struct loop *loop, struct rest_metrics *metrics,
	struct err *e) MUST_CHECK;
void conns_free(struct conns *s);
void conns_on_request(struct conns *s, conns_fn fn, void *arg);
int conns_listen(struct conns *s, struct err *e) MUST_CHECK;
/* For connections that come from now on; without effect where there was no TLS. Borrowed. */
void conns_set_tls(struct conns *s, struct tls_ctx *tls);
uint16_t conns_port(const struct conns *s);
/* No new connections; idle ones end now, the others after their answer. empty(arg) when none is left, or after ms. */
void conns_drain(struct conns *s, uint64_t ms, void (*empty)(void *arg), void *arg);

/* ---- for conn.c -------------------------------------------------------------------------------------------------- */
const struct server_conf *conns_conf(const struct conns *s);
const struct strict_limits *conns_limits(const struct conns *s);
bool conns_draining(const struct conns *s);
const char *conns_date(struct conns *s); /* for the Date header */
/* One more, if there is room; the address is counted. */
int conns_add(struct conns *s, struct conn *c) MUST_CHECK;
void conns_request(struct conns *s, struct conn *c, struct conn_input *in);
void conns_remove(struct conns *s, struct conn *c);

#endif
