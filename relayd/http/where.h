/*
 * where - the virtual hosts of routes on a shared port, and which one a request is for.
 *
 * Owner: one for each site, front and worker; made and ended by the service on the worker's thread. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_WHERE_H
#define PORTWAY_RELAYD_HTTP_WHERE_H

#include "common/http/http.h"
#include "common/net/host_name.h"
#include "relayd/site/site.h"
#include "relayd/vhost/vhost.h"

struct front_seat;
struct http_desk;

struct where {
	struct vhost vhost;
	struct site_seat *site;
	struct http_desk *desk;
	struct front_seat *seat;
	enum site_way way;
};

/* Whom a host led to when it was last asked for: most requests are for the host of the one before. */
#define WHERE_MEMOS    32
#define WHERE_MEMO_MAX 48 /* longer ones are looked up each time */
struct where_memo {
	const struct front_seat *seat; /* NULL: none */
	struct vhost *vhost;           /* NULL: nobody */
	uint64_t version;              /* of the seat's names then */
	uint8_t n;
	char asked[WHERE_MEMO_MAX]; /* as it came */
	char host[WHERE_MEMO_MAX];  /* in its one spelling */
};

/*
 * The site of a request's host, or NULL: *status says whether it is nobody's (404) or a mapping's (421), whose connections are not
 * shared. host: in its one spelling, "" for an address.
 */
const struct site_seat *where_find(
	struct http_desk *d, enum site_way way, struct http_span asked, char host[HOST_NAME_SIZE], unsigned *status);
/*
 * From now on the site takes connections of its host on the shared port of that way. In clear those that are nobody's come here, too, as
 * long as there is any site, and are answered as the engine answers. -1: out of memory.
 */
int where_open(struct where *w, struct site_seat *site, struct http_desk *d, enum site_way way) MUST_CHECK;
void where_close(struct where *w);

#endif
