/*
 * chain - the fixed chain of filters, as the HTTP engine runs it (relayd/http/filter.h).
 *
 *	request:  trace -> https -> redirect -> CORS preflight -> rate limit -> path, host -> header rules
 *	answer:   error page (of our own ones) -> header rules -> CORS -> gzip
 *	end:      access log
 *
 * Owner:  the engine; one for all routes. What outlives a change of a route (who used up which rate) is taken over from the
 *         route before.
 * Thread: as the table says. No filter waits, and none allocates but gzip.
 */
#ifndef PORTWAY_RELAYD_FILTER_CHAIN_H
#define PORTWAY_RELAYD_FILTER_CHAIN_H

#include "relayd/http/filter.h"

struct access_log;
struct chain;
struct err;

/* log: borrowed; NULL: there is none. */
int chain_new(struct chain **out, struct access_log *log, unsigned workers, struct err *e) MUST_CHECK;
void chain_free(struct chain *c); /* NULL is fine; after all routes */
/* Borrowed. */
const struct http_filters *chain_filters(const struct chain *c);

#endif
