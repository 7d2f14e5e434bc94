/*
 * site_tls - what a host's routes ask of TLS: whose certificates are shown, and which clients have to show one.
 *
 * Routes of one host agree on a handshake before a request says which of them it is for: a certificate is demanded if all of them
 * demand one, and asked for if any of them looks at it; each route then judges it by its own CAs.
 *
 * Owner: the site, made and freed with its tables. Immutable; sessions hold references of what they need. Thread: any.
 */
#ifndef PORTWAY_RELAYD_SITE_SITE_TLS_H
#define PORTWAY_RELAYD_SITE_SITE_TLS_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct http_route;
struct tls_trust;

struct site_tls {
	char realm[PROTO_ID_SIZE]; /* the tenant */
	struct tls_trust *clients; /* the CAs of all routes; NULL: nobody is asked */
	bool required;
};

/* *out NULL: none of the routes is for TLS. -1: out of memory, or a CA that cannot be read. */
int site_tls_new(struct site_tls **out, struct http_route *const *routes, uint32_t n) MUST_CHECK;
void site_tls_free(struct site_tls *t); /* NULL is fine */

#endif
