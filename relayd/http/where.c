#include "relayd/http/where.h"

#include "common/base/str.h"
#include "relayd/http/desk.h"
#include "relayd/http/h1_front.h"
#include "relayd/http/tls_gate.h"
#include "relayd/vhost/front.h"

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

const struct site_seat *where_find(const struct http_desk *d, enum site_way way, struct http_span asked,
	char host[HOST_NAME_SIZE], unsigned *status)
{
	struct vhost *v = NULL;

	if (host_name_take(host, asked.p, asked.n) == 0)
		v = host_map_find(&seat_of(d, way)->hosts, host);
	else
		host[0] = '\0';
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
