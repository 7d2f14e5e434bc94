#include "relayd/datagram/udp_waiting.h"

#include "common/base/share.h"
#include "relayd/datagram/udp_session.h"

#include <stdlib.h>
#include <string.h>

enum shelf { OF_SESSION, OF_LANE, OF_DESK, SHELVES };

struct waiting {
	struct list on[SHELVES];
	struct udp_session *session;
	size_t n;
	uint8_t bytes[]; /* UDP_HEADROOM, then the datagram */
};

void udp_shelf_init(struct udp_shelf *f)
{
	*f = (struct udp_shelf){ .n = 0 };
	list_init(&f->all);
}

static struct udp_shelf *shelf_of(struct udp_session *s, enum shelf which)
{
	return which == OF_SESSION ? &s->waiting
	       : which == OF_LANE  ? &s->lane->waiting
	                           : &udp_lane_desk(s->lane)->waiting;
}

static size_t size_of(size_t datagram)
{
	return sizeof(struct waiting) + UDP_HEADROOM + datagram;
}

static struct waiting *oldest(struct udp_shelf *f, enum shelf which)
{
	return CONTAINER_OF(list_first(&f->all) - which, struct waiting, on);
}

static void put(struct waiting *x)
{
	for (unsigned i = 0; i < SHELVES; i++) {
		struct udp_shelf *f = shelf_of(x->session, i);

		list_push_back(&f->all, &x->on[i]);
		f->n++;
		f->bytes += size_of(x->n);
	}
}

static void take(struct waiting *x)
{
	for (unsigned i = 0; i < SHELVES; i++) {
		struct udp_shelf *f = shelf_of(x->session, i);

		list_remove(&x->on[i]);
		f->n--;
		f->bytes -= size_of(x->n);
	}
	free(x);
}

static void drop_oldest(struct udp_shelf *f, enum shelf which)
{
	struct waiting *x = oldest(f, which);

	udp_lane_count(x->session->lane, METER_dropped_in, 1);
	take(x);
}

/* A worker's shelf is full for everybody only when each lane has no more than its share: who has more drops his own. */
static void make_room(struct udp_session *s, size_t n)
{
	struct udp_shelf *lane = shelf_of(s, OF_LANE), *desk = shelf_of(s, OF_DESK);

	if (s->waiting.n == UDP_WAITING_MAX)
		drop_oldest(&s->waiting, OF_SESSION);
	while (lane->n > 0 &&
		(lane->bytes + n > UDP_WAITING_LANE || !share_lets(UDP_WAITING_DESK, desk->bytes, lane->bytes, n)))
		drop_oldest(lane, OF_LANE);
	while (desk->n > 0 && desk->bytes + n > UDP_WAITING_DESK)
		drop_oldest(desk, OF_DESK);
}

void udp_waiting_add(struct udp_session *s, const struct iovec *d)
{
	struct waiting *x = malloc(size_of(d->iov_len));

	if (x == NULL) {
		udp_lane_count(s->lane, METER_dropped_in, 1);
		return;
	}
	make_room(s, size_of(d->iov_len));
	x->session = s;
	x->n = d->iov_len;
	memcpy(x->bytes + UDP_HEADROOM, d->iov_base, x->n);
	put(x);
}

unsigned udp_waiting_datagrams(const struct udp_session *s, struct iovec out[UDP_WAITING_MAX])
{
	unsigned n = 0;

	LIST_FOREACH (it, &s->waiting.all) {
		struct waiting *x = CONTAINER_OF(it - OF_SESSION, struct waiting, on);

		out[n++] = (struct iovec){ x->bytes + UDP_HEADROOM, x->n };
	}
	return n;
}

void udp_waiting_drop(struct udp_session *s)
{
	while (s->waiting.n > 0)
		take(oldest(&s->waiting, OF_SESSION));
}
