#include "relayd/http/where.h"

#include "common/base/str.h"
#include "relayd/http/desk.h"
#include "relayd/http/h1_front.h"
#include "relayd/http/tls_gate.h"
#include "relayd/vhost/front.h"

#include <string.h>

_Static_assert(WHERE_MEMOS == 1 << 5, "memo_of() takes five bits");

static void on_connection(struct vhost *v, int fd, const struct addr *from, bool proxied)
{
	struct where *w = CONTAINER_OF(v, struct where, vhost);

	if (w->way == SITE_TLS)
		tls_gate_take(w->desk, w->site, w->seat, fd, from, proxied);
	else
		h1_front_open(w->desk, w->seat, fd, from, proxied);
}

static struct front_seat *seat_of(const struct http_desk *d, enum site_way way)
{
	return d->seats[way == SITE_TLS ? FRONT_TLS : FRONT_HTTP];
}

static struct where_memo *memo_of(struct http_desk *d, struct http_span asked)
{
	uint64_t from, to;

	if (asked.n < sizeof from || asked.n >= WHERE_MEMO_MAX)
		return NULL;
	memcpy(&from, asked.p, sizeof from);
	memcpy(&to, asked.p + asked.n - sizeof to, sizeof to);
	return &d->asked_hosts[((from ^ (to << 7 | to >> 57)) * UINT64_C(0x9e3779b97f4a7c15)) >> 59];
}

static bool remembers(const struct where_memo *m, const struct front_seat *seat, struct http_span asked)
{
	return m->seat == seat && m->version == seat->hosts.version && m->n == asked.n &&
	       memcmp(m->asked, asked.p, asked.n) == 0;
}

static struct vhost *look_up(const struct front_seat *seat, struct http_span asked, char host[HOST_NAME_SIZE])
{
	if (host_name_take(host, asked.p, asked.n) == 0)
		return host_map_find(&seat->hosts, host);
	host[0] = '\0';
	return NULL;
}

static struct vhost *find(struct http_desk *d, enum site_way way, struct http_span asked, char host[HOST_NAME_SIZE])
{
	const struct front_seat *seat = seat_of(d, way);
	struct where_memo *m = memo_of(d, asked);

	if (m == NULL)
		return look_up(seat, asked, host);
	if (!remembers(m, seat, asked)) {
		m->vhost = look_up(seat, asked, host);
		m->seat = seat;
		m->version = seat->hosts.version;
		m->n = (uint8_t)asked.n;
		memcpy(m->asked, asked.p, asked.n);
		memcpy(m->host, host, sizeof m->host); /* never longer than what was asked for */
	}
	memcpy(host, m->host, sizeof m->host);
	return m->vhost;
}

const struct site_seat *where_find(
	struct http_desk *d, enum site_way way, struct http_span asked, char host[HOST_NAME_SIZE], unsigned *status)
{
	struct vhost *v = find(d, way, asked, host);

	*status = v == NULL ? 404 : 421;
	if (v == NULL)
		return d->any[way];
	return v->take == on_connection ? CONTAINER_OF(v, struct where, vhost)->site : NULL;
}

/* Over TLS somebody has to have a certificate for them, so only "*" takes those that are nobody's. */
static void set_other(struct http_desk *d, enum site_way way)
{
	struct front_seat *seat = seat_of(d, way);
	const bool taken = way == SITE_TLS ? d->any[way] != NULL : d->sites[way] > 0;

	d->strangers[way] = (struct where){ .site = d->any[way], .desk = d, .seat = seat, .way = way };
	vhost_init(&d->strangers[way].vhost, on_connection);
	seat->other = taken ? &d->strangers[way].vhost : NULL;
}

int where_open(struct where *w, struct site_seat *site, struct http_desk *d, enum site_way way)
{
	*w = (struct where){ .site = site, .desk = d, .seat = seat_of(d, way), .way = way };
	vhost_init(&w->vhost, on_connection);
	if (str_eq(site->site->host, "*"))
		d->any[way] = site;
	else if (host_map_add(&w->seat->hosts, site->site->host, &w->vhost) != 0)
		return -1;
	d->sites[way]++;
	set_other(d, way);
	return 0;
}

void where_close(struct where *w)
{
	if (w->desk->any[w->way] == w->site)
		w->desk->any[w->way] = NULL;
	host_map_leave(&w->seat->hosts, &w->vhost);
	w->desk->sites[w->way]--;
	set_other(w->desk, w->way);
}
