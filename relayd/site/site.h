/*
 * site - one host name (or wildcard, or "*") that routes claim: its routes in two tables, in clear and over TLS, and on each worker
 * the virtual host that takes its connections and the tables in force there.
 *
 *   change:  site_add()/site_remove() ... site_prepare() -> site_switch() on every worker -> site_commit(): old tables are freed
 *
 * A host's tables hold nothing of other hosts, so a change costs what its own hosts have.
 *
 * Owner:  the service. Thread: control thread; a seat: its worker's.
 */
#ifndef PORTWAY_RELAYD_SITE_SITE_H
#define PORTWAY_RELAYD_SITE_SITE_H

#include "common/base/list.h"
#include "common/net/host_name.h"
#include "relayd/route/route_table.h"
#include "relayd/site/http_route.h"

struct site;
struct site_tls;

enum site_way { SITE_CLEAR, SITE_TLS, SITE_WAYS };

struct site_seat {
	struct site *site;
	const struct route_table *tables[SITE_WAYS]; /* NULL: none that way */
	const struct site_tls *tls;                  /* NULL: none over TLS */
	void *owners[SITE_WAYS];                     /* whoever takes its connections on this worker */
};

struct site {
	char host[HOST_NAME_SIZE];
	struct http_route **routes; /* in the order of priority, then id */
	uint32_t n, cap;
	struct route_table *tables[SITE_WAYS], *old[SITE_WAYS];
	struct site_tls *tls, *old_tls;
	void *claims[SITE_WAYS]; /* of the host's name, the service's; NULL: not claimed */
	struct list todo;
	unsigned workers;
	struct site_seat seats[];
};

/* NULL: out of memory. */
struct site *site_new(const char *host, unsigned workers);
void site_free(struct site *s); /* no route is left */
int site_add(struct site *s, struct http_route *r) MUST_CHECK;
void site_remove(struct site *s, const struct http_route *r);
/* New tables of the routes that are enabled. -1: out of memory, and the old ones stay. */
int site_prepare(struct site *s) MUST_CHECK;
void site_switch(struct site *s, unsigned worker);
void site_commit(struct site *s);
/* Which route takes a request, or NULL. */
struct http_route *site_find(
	const struct site_seat *s, enum site_way way, struct http_span path, const struct http_head *h);
static inline bool site_is_open(const struct site *s, enum site_way way)
{
	return s->tables[way] != NULL;
}

#endif
