#include "common/tunnel/outlet.h"

#include "common/tunnel/mux_pool.h"
#include "common/uv/sys.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define KEPT_MAX ((size_t)1024 * 1024)

/* Where the kernel does not know of it, what waits before it is bounded all the same. */
static void tell_kernel(const struct outlet *o)
{
	unsigned most = (unsigned)o->high;

	setsockopt(o->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
}

void outlet_init(struct outlet *o, int fd, struct mux_pool *pool)
{
	*o = (struct outlet){ .fd = fd, .pool = pool, .high = OUTLET_HIGH };
	buf_init(&o->kept, KEPT_MAX);
	tell_kernel(o);
}

void outlet_fini(struct outlet *o)
{
	buf_free(&o->kept);
}

size_t outlet_waiting(const struct outlet *o)
{
	return o->kept.len - o->kept_at;
}

/* The kernel tells of room when half of what may wait in it has gone: that is how much passed in this time. */
void outlet_judge(struct outlet *o, uint64_t full_for_ns)
{
	size_t high = o->high;

	if (full_for_ns > OUTLET_SLOW_NS)
		high = MAX(high / 2, OUTLET_HIGH_MIN);
	else if (full_for_ns < OUTLET_FAST_NS)
		high = MIN(high * 2, OUTLET_HIGH);
	if (high == o->high)
		return;
	o->high = high;
	tell_kernel(o);
}

int outlet_push(struct outlet *o, const uint8_t *p, size_t n, uint64_t now_ns)
{
	ssize_t r = outlet_waiting(o) == 0 ? sys_send(o->fd, p, n, MSG_NOSIGNAL) : 0;
	size_t taken = r > 0 ? (size_t)r : 0;

	if (r < 0 && errno != EAGAIN)
		return -1;
	o->bytes += taken;
	if (taken == n)
		return 0;
	if (o->full_ns == 0)
		o->full_ns = now_ns;
	mux_pool_borrow(o->pool, &o->kept);
	buf_put(&o->kept, p + taken, n - taken);
	return o->kept.failed ? -1 : 0;
}

int outlet_resume(struct outlet *o, uint64_t now_ns)
{
	ssize_t r = sys_send(o->fd, o->kept.data + o->kept_at, outlet_waiting(o), MSG_NOSIGNAL);

	if (r < 0)
		return errno == EAGAIN ? 0 : -1;
	o->bytes += (size_t)r;
	o->kept_at += (size_t)r;
	outlet_judge(o, now_ns - o->full_ns);
	o->full_ns = now_ns;
	if (outlet_waiting(o) > 0)
		return 0;
	o->full_ns = 0;
	o->kept_at = 0;
	buf_reset(&o->kept);
	mux_pool_return(o->pool, &o->kept);
	return 0;
}
