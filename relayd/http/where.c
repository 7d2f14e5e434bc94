#include "relayd/http/where.h"

#include "common/base/str.h"
#include "relayd/http/desk.h"
#include "relayd/http/h1_front.h"
#include "relayd/vhost/front_seat.h"

static void on_connection(struct vhost *v, int fd, const struct addr *from, bool proxied)
{
	struct where *w = CONTAINER_OF(v, struct where, vhost);

	h1_front_open(w->desk, w->seat, fd, from, proxied);
}

const struct site_seat *where_find(const struct http_desk *d, struct front_seat *seat, struct http_span asked,
	char host[HOST_NAME_SIZE], unsigned *status)
{
	struct vhost *v = NULL;

	if (host_name_take(host, asked.p, asked.n) == 0)
		v = host_map_find(&seat->hosts, host);
	else
		host[0] = '\0';
	*status = v == NULL ? 404 : 421;
	if (v == NULL)
		return d->any;
	return v->take == on_connection ? CONTAINER_OF(v, struct where, vhost)->site : NULL;
}

int where_open(struct where *w, struct site_seat *site, struct http_desk *d, struct front_seat *seat)
{
	*w = (struct where){ .site = site, .desk = d, .seat = seat };
	vhost_init(&w->vhost, on_connection);
	if (str_eq(site->site->host, "*"))
		d->any = site;
	else if (host_map_add(&seat->hosts, site->site->host, &w->vhost) != 0)
		return -1;
	if (d->sites++ == 0) {
		d->stranger = (struct where){ .desk = d, .seat = seat };
		vhost_init(&d->stranger.vhost, on_connection);
		seat->other = &d->stranger.vhost;
	}
	return 0;
}

void where_close(struct where *w)
{
	if (w->desk->any == w->site)
		w->desk->any = NULL;
	host_map_leave(&w->seat->hosts, &w->vhost);
	if (--w->desk->sites == 0)
		w->seat->other = NULL;
}
