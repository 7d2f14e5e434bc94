#define _GNU_SOURCE
#include "common/uv/flow.h"

#include "common/uv/pipe_pool.h"
#include "common/uv/stock.h"
#include "common/uv/sys.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define READ_MAX          (64 * 1024) /* so much may have to be kept when the far side stops taking */
#define READ_LARGE        (32 * 1024)
#define SPLICE_FEW        (16 * 1024)
#define SPLICE_FEWS       8                  /* so many small splices in a row: copying is cheaper */
#define ALLOWANCE_WAIT_NS UINT64_C(10000000) /* before it is asked again; who grants is a network away */

void flow_init(struct flow *f)
{
	*f = (struct flow){ .state = FLOW_OPEN };
	list_init(&f->throttled);
}

static void give_back(struct flow *f, struct flow_way *way)
{
	if (f->pipe != NULL)
		stock_take_back(f->pipe, f->held == 0);
	if (f->kept != NULL) {
		stock_forget(way->stock, f->kept_at + f->held);
		free(f->kept);
	}
	f->pipe = NULL;
	f->kept = NULL;
	f->kept_at = f->held = 0;
}

/*
 * Hands n bytes (of the pipe, or at `bytes`) to the far side's kernel. What is known to be the last leaves in one packet
 * with the end of the stream, which is told next; what is left of a piece beyond whole packets, with the piece behind it.
 */
static ssize_t hand(const struct flow *f, struct side *to, const uint8_t *bytes, size_t n)
{
	if (to->ops != NULL)
		return to->ops->send(to, bytes, n);
	if (f->pipe != NULL)
		return sys_splice(f->pipe->out, to->io.fd, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	return sys_send(
		to->io.fd, bytes, n, f->state == FLOW_ENDING || f->more ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);
}

/* To its own rate, and the first of those it shares. */
static void give_first(struct flow_way *way, unsigned shared, size_t n)
{
	rate_give(way->rate, &way->slice, n);
	for (unsigned i = 0; i < shared; i++)
		if (way->shared[i] != NULL)
			rate_give(way->shared[i], &way->shared_slice[i], n);
}

/* How many of `want` bytes may pass now, by all rates; what is not used is given back. */
static size_t way_take_rates(struct flow_way *way, size_t want)
{
	uint64_t now = way->worker->now_ns;
	size_t may = rate_take(way->rate, &way->slice, want, now);

	for (unsigned i = 0; i < FLOW_SHARED && may > 0; i++) {
		size_t all;

		if (way->shared[i] == NULL)
			continue;
		all = rate_take(way->shared[i], &way->shared_slice[i], may, now);
		give_first(way, i, may - all);
		may = all;
	}
	return may;
}

static size_t way_take(struct flow_way *way, size_t want)
{
	size_t may, both;

	if (way->allowance == NULL)
		return way_take_rates(way, want);
	may = allowance_take(way->allowance, want);
	both = may > 0 ? way_take_rates(way, may) : 0;
	allowance_give(way->allowance, may - both);
	return both;
}

static void way_give(struct flow_way *way, size_t n)
{
	if (way->allowance != NULL)
		allowance_give(way->allowance, n);
	give_first(way, FLOW_SHARED, n);
}

void flow_fini(struct flow *f, struct flow_way *way)
{
	way_give(way, f->held); /* taken, and never to be counted */
	give_back(f, way);
	list_remove(&f->throttled);
}

uint64_t flow_way_wait_ns(struct flow_way *way)
{
	uint64_t now = way->worker->now_ns, longest = rate_limits(way->rate) ? rate_wait_ns(way->rate, now) : 0;

	if (way->allowance != NULL && allowance_is_spent(way->allowance))
		longest = MAX(longest, ALLOWANCE_WAIT_NS);
	for (unsigned i = 0; i < FLOW_SHARED; i++)
		if (way->shared[i] != NULL && rate_limits(way->shared[i]))
			longest = MAX(longest, rate_wait_ns(way->shared[i], now));
	return longest;
}

static void count(const struct flow_way *way, uint64_t n)
{
	uint64_t *cell = &(*way->cells)[way->cell];

	__atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
	if (way->allowance != NULL)
		allowance_count(way->allowance, n);
}

/*
 * Hands over n bytes and counts them; how many the kernel took, -1 if it failed.
 *
 * This is the only place that counts a flow's bytes. They are counted before the kernel has them, and what it did not
 * take is taken back: a process that is killed between the two has counted at least what was delivered, and never more
 * than was sent in. Counting afterwards would lose what a kill comes in between.
 */
static ssize_t offer(struct flow *f, struct flow_way *way, struct side *to, const uint8_t *bytes, size_t n)
{
	ssize_t r;
	size_t taken;

	side_before_write(to, f->bytes);
	count(way, n);
	r = hand(f, to, bytes, n);
	taken = r > 0 ? (size_t)r : 0;
	f->bytes += taken;
	if (taken == n)
		return r;
	count(way, taken - n);
	if (r < 0 && errno != EAGAIN)
		return -1;
	to->writable = false; /* a short write filled the socket: its next event is there when it has room */
	return (ssize_t)taken;
}

static enum flow_result deliver_held(struct flow *f, struct flow_way *way, struct side *to)
{
	ssize_t taken = offer(f, way, to, f->kept + f->kept_at, f->held);

	if (taken < 0)
		return FLOW_BROKEN;
	f->held -= (uint32_t)taken;
	if (f->kept != NULL)
		f->kept_at += (uint32_t)taken;
	if (f->held == 0)
		give_back(f, way);
	return FLOW_MOVED;
}

/* Bytes that were read and not taken wait in a buffer of just their size. */
static int keep(struct flow *f, struct flow_way *way, const uint8_t *bytes, size_t n)
{
	f->kept = malloc(n);
	if (f->kept == NULL)
		return -1;
	memcpy(f->kept, bytes, n);
	f->held = (uint32_t)n;
	f->kept_at = 0;
	stock_keep(way->stock, n);
	return 0;
}

/* A read brought nothing: end of stream, nothing there now, or an error. */
static enum flow_result read_nothing(struct flow *f, struct flow_way *way, struct side *from, ssize_t n)
{
	if (n == 0) {
		f->state = FLOW_ENDING;
		return FLOW_MOVED;
	}
	if (errno != EAGAIN)
		return FLOW_BROKEN;
	side_drained(from, way->worker);
	return FLOW_MOVED;
}

/* Where to read to: as near to the far side as can be. */
static uint8_t *space_for(const struct flow_way *way, struct side *to, size_t n)
{
	uint8_t *at = to->ops != NULL ? to->ops->space(to, n) : NULL;

	return at != NULL ? at : way->worker->scratch;
}

/* A short read was all there is, but for urgent data, of which a muted side does not know. */
static void note_read(struct flow *f, struct flow_way *way, struct side *from, bool is_short)
{
	if (!is_short || from->urgent || from->muted)
		return;
	side_drained(from, way->worker);
	if (from->fin)
		f->state = FLOW_ENDING;
}

static void note_size(struct flow *f, const struct side *to, size_t n)
{
	f->large_run = n >= READ_LARGE ? MIN(f->large_run + (uint32_t)n, FLOW_SPLICE_AFTER) : 0;
	f->splicing = f->large_run >= FLOW_SPLICE_AFTER && to->ops == NULL;
}

static enum flow_result copy_some(struct flow *f, struct flow_way *way, struct side *from, struct side *to, size_t max)
{
	size_t may = way_take(way, max);
	uint8_t *bytes;
	ssize_t n, taken;

	if (may == 0)
		return FLOW_THROTTLED;
	bytes = space_for(way, to, may);
	n = sys_recv(from->io.fd, bytes, may, 0);
	way_give(way, may - (size_t)(n > 0 ? n : 0));
	if (n <= 0)
		return read_nothing(f, way, from, n);
	note_read(f, way, from, (size_t)n < may);
	note_size(f, to, (size_t)n);
	taken = offer(f, way, to, bytes, (size_t)n);
	if (taken == n)
		return FLOW_MOVED;
	if (taken >= 0 && keep(f, way, bytes + taken, (size_t)(n - taken)) == 0)
		return FLOW_MOVED;
	way_give(way, (size_t)(n - MAX(taken, 0)));
	return FLOW_BROKEN;
}

/* Takes out what was looked at, of a TCP socket without copying it once more. */
static int drop(int fd, uint8_t *scratch, size_t n)
{
	while (n > 0) {
		ssize_t r = sys_recv(fd, scratch, n, MSG_TRUNC);

		if (r <= 0)
			return -1;
		n -= (size_t)r;
	}
	return 0;
}

/* As copy_some(), but that what the far side does not take stays where it is: for a call more, nothing is kept. */
static enum flow_result copy_looked_at(struct flow *f, struct flow_way *way, struct side *from, struct side *to)
{
	size_t may = way_take(way, READ_MAX);
	uint8_t *bytes = way->worker->scratch;
	ssize_t n, taken;

	if (may == 0)
		return FLOW_THROTTLED;
	n = sys_recv(from->io.fd, bytes, may, MSG_PEEK);
	taken = n > 0 ? offer(f, way, to, bytes, (size_t)n) : 0;
	way_give(way, may - (size_t)MAX(taken, 0));
	if (n <= 0)
		return read_nothing(f, way, from, n);
	if (taken < 0 || drop(from->io.fd, bytes, (size_t)taken) != 0)
		return FLOW_BROKEN;
	note_read(f, way, from, taken == n && (size_t)n < may);
	note_size(f, to, (size_t)taken);
	return FLOW_MOVED;
}

static bool is_limited(const struct flow_way *way)
{
	bool limited = way->allowance != NULL || rate_limits(way->rate);

	for (unsigned i = 0; i < FLOW_SHARED; i++)
		limited |= way->shared[i] != NULL && rate_limits(way->shared[i]);
	return limited;
}

/* From an end that holds its bytes until they are taken: what the far side does not want stays there. */
static enum flow_result pass_some(struct flow *f, struct flow_way *way, struct side *from, struct side *to)
{
	const uint8_t *bytes;
	size_t there = from->ops->peek(from, &bytes), may;
	ssize_t taken;

	if (there == 0) {
		side_drained(from, way->worker);
		if (from->fin)
			f->state = FLOW_ENDING;
		return FLOW_MOVED;
	}
	may = way_take(way, there);
	if (may == 0)
		return FLOW_THROTTLED;
	f->more = from->ops->more(from) && !is_limited(way);
	taken = offer(f, way, to, bytes, may);
	f->more = false;
	way_give(way, may - (size_t)MAX(taken, 0));
	if (taken < 0)
		return FLOW_BROKEN;
	from->ops->take(from, (size_t)taken);
	return FLOW_MOVED;
}

static void note_splice(struct flow *f, size_t n)
{
	f->small_run = n < SPLICE_FEW ? (uint8_t)(f->small_run + 1) : 0;
	if (f->small_run < SPLICE_FEWS)
		return;
	f->splicing = false;
	f->small_run = 0;
	f->large_run = 0;
}

/* Whatever the ends are. Into an end without a socket goes only what it has room for, so that nothing has to be kept. */
static enum flow_result move_some(struct flow *f, struct flow_way *way, struct side *from, struct side *to)
{
	size_t room = to->ops != NULL ? to->ops->room(to) : READ_MAX;

	if (room == 0) {
		to->writable = false;
		return FLOW_BLOCKED;
	}
	if (from->ops != NULL)
		return pass_some(f, way, from, to);
	if (to->ops == NULL && !stock_may_keep(way->stock, READ_MAX))
		return copy_looked_at(f, way, from, to);
	return copy_some(f, way, from, to, MIN(room, READ_MAX));
}

/* ---- pipes ------------------------------------------------------------------------------------------------------ */

/* The bytes in the pipe, which belongs to a flow whose far side is slow, wait in a buffer from now on. */
static bool empty_pipe(struct pipe *pipe)
{
	struct flow *f = pipe->user;
	uint8_t *bytes = stock_may_keep(pipe->stock, f->held) ? malloc(f->held) : NULL;

	if (bytes == NULL)
		return false;
	pipe_take_all(pipe, bytes, f->held);
	stock_keep(pipe->stock, f->held);
	f->kept = bytes;
	f->kept_at = 0;
	f->pipe = NULL;
	f->splicing = false;
	f->large_run = 0;
	return true;
}

static bool lend_pipe(struct flow *f, struct flow_way *way)
{
	f->pipe = stock_lend(way->stock, empty_pipe, f);
	return f->pipe != NULL;
}

/* A short splice says nothing about what is left (many small packets fill a pipe), so it goes on until EAGAIN. */
static enum flow_result splice_some(struct flow *f, struct flow_way *way, struct side *from, struct side *to)
{
	size_t may;
	ssize_t n;

	if (!lend_pipe(f, way))
		return move_some(f, way, from, to);
	may = way_take(way, f->pipe->size);
	if (may == 0) {
		give_back(f, way);
		return FLOW_THROTTLED;
	}
	n = sys_splice(from->io.fd, f->pipe->in, may, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	way_give(way, may - (size_t)(n > 0 ? n : 0));
	if (n == 0) { /* the end, or urgent data: only recv() says which */
		give_back(f, way);
		f->splicing = false;
		f->large_run = 0;
		return FLOW_MOVED;
	}
	if (n < 0) {
		int saved = errno;

		give_back(f, way);
		errno = saved;
		return read_nothing(f, way, from, n);
	}
	f->held = (uint32_t)n;
	note_splice(f, (size_t)n);
	return deliver_held(f, way, to);
}

enum flow_result flow_pump(struct flow *f, struct flow_way *way, struct side *from, struct side *to)
{
	uint64_t turn_ends = f->bytes + way->worker->turn;
	enum flow_result r = FLOW_MOVED;

	while (r == FLOW_MOVED) {
		if (f->held > 0)
			r = to->writable ? deliver_held(f, way, to) : FLOW_BLOCKED;
		else if (f->state == FLOW_ENDING)
			r = FLOW_ENDED;
		else if (!from->readable || !to->writable)
			r = FLOW_BLOCKED;
		else if (f->bytes >= turn_ends)
			r = FLOW_BUSY;
		else if (f->splicing && !from->urgent) /* it does not get past urgent data */
			r = splice_some(f, way, from, to);
		else
			r = move_some(f, way, from, to);
	}
	return r;
}
