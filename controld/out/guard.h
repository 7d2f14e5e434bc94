/*
 * guard - where outbound calls may go: URLs from users, and the addresses that names turn out to be.
 *
 * What is asked for by users must not reach what only this machine can reach: loopback, private, link-local, multicast and
 * metadata addresses are closed, unless the operator lists their range. The address that counts is the one that is dialled,
 * whatever a name resolved to a moment before.
 *
 * Owner: whoever made it; immutable. Thread: any.
 */
#ifndef PORTWAY_CONTROLD_OUT_GUARD_H
#define PORTWAY_CONTROLD_OUT_GUARD_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "common/net/cidr.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

#define GUARD_ALLOW_MAX 64
#define GUARD_URL_MAX   2048 /* bytes */

struct guard {
	struct cidr allow[GUARD_ALLOW_MAX];
	size_t n;
};

/* "10.0.0.0/8, 192.168.1.5"; "" for none. ERR_VALIDATION names what is wrong. */
int guard_init(struct guard *g, const char *allow, struct err *e) MUST_CHECK;
bool guard_allows(const struct guard *g, const struct addr *a);

/*
 * What can be said without asking anybody: http or https, a host, no user or password, no control characters, and if the
 * host is an address, one that is open. field: what it is called towards the user.
 */
int guard_check_url(const struct guard *g, const char *field, const char *url, struct err *e) MUST_CHECK;
/* Whether both name the same scheme, host and port, so that what is kept for one may go to the other. What is no URL is nowhere. */
bool guard_same_place(const char *url, const char *other);

#endif
