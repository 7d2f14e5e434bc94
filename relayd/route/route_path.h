/*
 * route_path - the path of a request in the one spelling in which it is matched and sent on.
 *
 * %41 is A where A needs no escape, other escapes have capitals, "." and ".." segments are gone (RFC 3986 section 6.2.2). What
 * was matched is what is sent, so nobody behind reads another path than the one that was routed. Escaped slashes stay
 * escaped: they are no separators.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_ROUTE_ROUTE_PATH_H
#define PORTWAY_RELAYD_ROUTE_ROUTE_PATH_H

#include "common/base/macros.h"
#include "common/http/http.h"

/*
 * dst needs path.n + 1 bytes; *n is the length, at most path.n (without the NUL that is added). -1: an escape that is none,
 * an escaped NUL, or ".." above the root. "*" stays what it is.
 */
int route_path_take(char *dst, size_t *n, struct http_span path) MUST_CHECK;

#endif
