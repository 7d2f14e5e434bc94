/* Blocks, and bytes in and out over a pair of sockets: what waits, in which order, and that nothing is held when nothing waits. */
#include "common/uv/fd_budget.h"
#include "common/uv/stock.h"
#include "relayd/http/inbox.h"
#include "relayd/http/outbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void on_event(struct io *io, uint32_t events)
{
	(void)io;
	(void)events;
}

struct lab {
	struct worker worker;
	struct blocks blocks;
	struct wire wire;
	int far;
};

static void lab_open(struct lab *l)
{
	int fds[2], small = 4096;

	memset(l, 0, sizeof *l);
	l->worker.scratch = malloc(WORKER_SCRATCH);
	assert_non_null(l->worker.scratch);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	l->far = fds[1];
	side_init(&l->wire.side, on_event, fds[0]);
	l->wire.side.writable = l->wire.side.readable = l->wire.side.nodelay = true;
	wire_open_clear(&l->wire);
}

static void lab_close(struct lab *l)
{
	assert_int_equal(l->blocks.held, 0);
	close(l->wire.side.io.fd);
	close(l->far);
	blocks_fini(&l->blocks);
	free(l->worker.scratch);
}

static void blocks_grow_and_come_back(void **state)
{
	struct blocks bs = { .ready = NULL };
	struct block *b = NULL, *same;
	char big[3 * BLOCK_USUAL];

	(void)state;
	memset(big, 'x', sizeof big);
	assert_int_equal(block_append(&bs, &b, "", 0), 0);
	assert_null(b);
	assert_int_equal(block_append(&bs, &b, "abc", 3), 0);
	b->at = 1;
	assert_int_equal(
		block_append(&bs, &b, big, BLOCK_USUAL - 2), 0); /* it fits when what is done with is dropped */
	assert_int_equal(b->cap, BLOCK_USUAL);
	assert_memory_equal(b->bytes + b->at, "bcx", 3);
	assert_int_equal(block_append(&bs, &b, big, sizeof big), 0);
	assert_int_equal(block_waiting(b), BLOCK_USUAL + sizeof big);
	assert_memory_equal(b->bytes + b->at, "bcx", 3);
	block_put(&bs, b);
	assert_int_equal(bs.held, 0);
	same = bs.ready;
	assert_non_null(same);
	assert_ptr_equal(block_get(&bs, 10), same);
	block_put(&bs, same);
	blocks_fini(&bs);
}

static size_t drain(struct lab *l, char *into, size_t at, size_t cap)
{
	ssize_t n;

	while (at < cap && (n = recv(l->far, into + at, cap - at, 0)) > 0)
		at += (size_t)n;
	return at;
}

static void what_does_not_go_waits_in_order(void **state)
{
	struct outbox o = { .kept = NULL };
	char *got = malloc(400000), *want = malloc(400000);
	size_t at = 0, n = 0;
	struct lab l;

	(void)state;
	lab_open(&l);
	memcpy(outbox_room(&o, &l.blocks, 4), "head", 4);
	outbox_wrote(&o, 4);
	memcpy(want, "head", 4);
	n = 4;
	for (int i = 0; i < 20; i++) {
		memset(want + n, 'a' + i, 10000);
		outbox_put(&o, &l.blocks, &l.wire, (struct http_span){ want + n, 10000 });
		n += 10000;
	}
	assert_true(outbox_is_full(&o) && !o.failed && o.sent < n);
	while (!outbox_is_empty(&o)) {
		at = drain(&l, got, at, n);
		l.wire.side.writable = true;
		outbox_flush(&o, &l.blocks, &l.wire);
	}
	at = drain(&l, got, at, n);
	assert_int_equal(at, n);
	assert_memory_equal(got, want, n);
	assert_int_equal(o.sent, n);
	assert_false(outbox_is_full(&o));
	free(got);
	free(want);
	lab_close(&l);
}

/* A small piece joins what waits; it must not overtake, nor be lost where there is no room for it. */
static void small_pieces_and_large_ones(void **state)
{
	struct outbox o = { .kept = NULL };
	char *got = malloc(400000), *want = malloc(400000);
	size_t at = 0, n = 0;
	struct lab l;

	(void)state;
	lab_open(&l);
	for (unsigned i = 0; i < 300; i++) {
		const size_t size = i % 10 == 9 ? 5000 : 1 + i * 37 % 1500;

		memset(want + n, 'a' + (int)(i % 26), size);
		if (i % 5 == 0) { /* a head that waits for its content */
			memcpy(outbox_room(&o, &l.blocks, size), want + n, size);
			outbox_wrote(&o, size);
		} else {
			outbox_put(&o, &l.blocks, &l.wire, (struct http_span){ want + n, size });
		}
		n += size;
		if (i % 50 == 49) {
			at = drain(&l, got, at, 400000);
			l.wire.side.writable = true;
			outbox_flush(&o, &l.blocks, &l.wire);
		}
	}
	while (!outbox_is_empty(&o)) {
		at = drain(&l, got, at, 400000);
		l.wire.side.writable = true;
		outbox_flush(&o, &l.blocks, &l.wire);
	}
	at = drain(&l, got, at, 400000);
	assert_int_equal(at, n);
	assert_int_equal(o.sent, n);
	assert_memory_equal(got, want, n);
	free(got);
	free(want);
	lab_close(&l);
}

static void chunks(void **state)
{
	struct outbox o = { .kept = NULL };
	char got[100];
	struct lab l;

	(void)state;
	lab_open(&l);
	outbox_put_chunk(&o, &l.blocks, &l.wire, (struct http_span){ "hello", 5 });
	outbox_put_chunk(&o, &l.blocks, &l.wire, (struct http_span){ "", 0 }); /* would be the last one */
	outbox_put_chunk(&o, &l.blocks, &l.wire, (struct http_span){ "0123456789abcdef", 16 });
	assert_int_equal(drain(&l, got, 0, sizeof got), 10 + 22);
	assert_memory_equal(got, "5\r\nhello\r\n10\r\n0123456789abcdef\r\n", 32);
	lab_close(&l);
}

static void a_far_side_that_is_gone(void **state)
{
	struct outbox o = { .kept = NULL };
	struct lab l;

	(void)state;
	lab_open(&l);
	shutdown(l.far, SHUT_RDWR);
	outbox_put(&o, &l.blocks, &l.wire, (struct http_span){ "x", 1 });
	assert_true(o.failed);
	assert_null(outbox_room(&o, &l.blocks, 1));
	outbox_put(&o, &l.blocks, &l.wire, (struct http_span){ "x", 1 });
	outbox_fini(&o, &l.blocks);
	lab_close(&l);
}

/* ---- bytes in a pipe ------------------------------------------------------------------------------------------------ */

static struct fd_budget fds;

static void lab_open_pipes(struct lab *l, struct stock *s)
{
	lab_open(l);
	signal(SIGPIPE, SIG_IGN);
	fd_budget_init(&fds, 2000);
	pipe_pool_init(&l->worker.pipes, &fds);
	stock_init(s, &l->worker);
}

static void lab_close_pipes(struct lab *l, const struct stock *s)
{
	assert_int_equal(s->n_pipes, 0);
	assert_int_equal(s->kept, 0);
	assert_int_equal(l->worker.kept, 0);
	pipe_pool_fini(&l->worker.pipes);
	assert_int_equal(fd_budget_used(&fds), 0);
	lab_close(l);
}

/* A pipe of it with these bytes. */
static struct pipe *filled(struct stock *s, const char *p, size_t n)
{
	struct pipe *pipe = stock_lend(s, NULL, NULL);

	assert_non_null(pipe);
	assert_int_equal(write(pipe->in, p, n), n);
	return pipe;
}

static void fill(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 2654435761U >> 13);
}

/* All of it comes out, in order and counted. */
static void assert_comes_out(struct lab *l, struct outbox *o, const char *want, size_t n)
{
	char *got = malloc(n + 1);
	size_t at = drain(l, got, 0, n + 1);

	while (!outbox_is_empty(o)) {
		l->wire.side.writable = true;
		outbox_flush(o, &l->blocks, &l->wire);
		at = drain(l, got, at, n + 1);
	}
	assert_int_equal(at, n);
	assert_memory_equal(got, want, n);
	assert_int_equal(o->sent, n);
	assert_false(outbox_is_full(o));
	free(got);
}

static void what_is_in_a_pipe_goes_behind_what_waits(void **state)
{
	static const size_t heads[] = { 0, 100, 50000 }, sizes[] = { 1, 1000, 250000 };
	char *want = malloc(300000);

	(void)state;
	fill(want, 300000);
	for (unsigned i = 0; i < 9; i++) {
		const size_t head = heads[i / 3], size = sizes[i % 3];
		struct outbox o = { .kept = NULL };
		struct stock s;
		struct lab l;

		lab_open_pipes(&l, &s);
		if (head > 0) {
			memcpy(outbox_room(&o, &l.blocks, head), want, head);
			outbox_wrote(&o, head);
		}
		outbox_put_pipe(&o, &l.blocks, &l.wire, filled(&s, want + head, size), size);
		assert_int_equal(outbox_is_empty(&o), o.sent == head + size);
		assert_int_equal(outbox_is_full(&o), o.sent < head + size);
		assert_comes_out(&l, &o, want, head + size);
		assert_int_equal(l.worker.pipes.n_ready, 1);
		lab_close_pipes(&l, &s);
	}
	free(want);
}

/* The pipe goes to who wants one, and what was in it comes out as before. */
static void a_pipe_in_which_bytes_wait_is_emptied_for_another(void **state)
{
	const size_t size = 250000;
	char *want = malloc(size);

	(void)state;
	fill(want, size);
	for (unsigned i = 0; i < 2; i++) {
		const size_t head = i * 10000;
		struct outbox o = { .kept = NULL };
		struct stock s, other;
		struct pipe *pipe;
		struct lab l;

		lab_open_pipes(&l, &s);
		stock_init(&other, &l.worker);
		if (head > 0) {
			memcpy(outbox_room(&o, &l.blocks, head), want, head);
			outbox_wrote(&o, head);
		}
		pipe = filled(&s, want + head, size - head);
		outbox_put_pipe(&o, &l.blocks, &l.wire, pipe, size - head);
		assert_true(outbox_is_full(&o));
		l.worker.pipes.n_open += PIPE_POOL_MAX; /* no more can be opened */
		assert_null(stock_lend(&other, NULL, NULL));
		l.worker.now_ns += PIPE_LONG_NS;
		l.worker.kept = 64 * 1024 * 1024; /* nor kept */
		assert_null(stock_lend(&other, NULL, NULL));
		l.worker.kept = 0;
		l.worker.now_ns += PIPE_LONG_NS;
		assert_ptr_equal(stock_lend(&other, NULL, NULL), pipe);
		l.worker.pipes.n_open -= PIPE_POOL_MAX;
		assert_true(outbox_is_full(&o) && !outbox_is_empty(&o));
		assert_int_equal(s.n_pipes, 0);
		assert_in_range(s.kept, 1, size - head);
		assert_int_equal(l.worker.kept, s.kept);
		stock_take_back(pipe, true);
		assert_comes_out(&l, &o, want, size);
		assert_int_equal(other.n_pipes, 0);
		lab_close_pipes(&l, &s);
	}
	free(want);
}

/* The connection ends, or ended before, with bytes in a pipe: it does not serve again, and its place is free. */
static void a_pipe_of_an_outbox_that_ends(void **state)
{
	char *bytes = malloc(250000);

	(void)state;
	fill(bytes, 250000);
	for (unsigned gone = 0; gone < 2; gone++) {
		struct outbox o = { .kept = NULL };
		struct stock s;
		struct lab l;

		lab_open_pipes(&l, &s);
		if (gone)
			shutdown(l.far, SHUT_RDWR);
		outbox_put_pipe(&o, &l.blocks, &l.wire, filled(&s, bytes, 250000), 250000);
		assert_int_equal(o.failed, gone);
		assert_int_equal(outbox_is_empty(&o), gone);
		if (gone) /* who gives has not heard of it yet */
			outbox_put_pipe(&o, &l.blocks, &l.wire, filled(&s, bytes, 250000), 250000);
		outbox_fini(&o, &l.blocks);
		assert_int_equal(l.worker.pipes.n_ready, 0);
		lab_close_pipes(&l, &s);
	}
	free(bytes);
}

static void what_is_left_is_in_front_of_what_comes(void **state)
{
	static struct http_head table, other;
	struct inbox in = { .kept = NULL };
	struct lab l;

	(void)state;
	lab_open(&l);
	assert_int_equal(send(l.far, "GET / HT", 8, 0), 8);
	assert_int_equal(inbox_fill(&in, &l.wire, &l.worker), 8);
	inbox_use(&in, 4);
	table.pos = 7;
	assert_int_equal(inbox_keep(&in, &l.blocks, &table), 0);
	assert_true(inbox_head(&in, &other) != &other && inbox_head(&in, &other)->pos == 7);
	memset(l.worker.scratch, 'z', 100);
	assert_int_equal(send(l.far, "TP", 2, 0), 2);
	assert_int_equal(inbox_fill(&in, &l.wire, &l.worker), 2);
	assert_int_equal(in.n, 6);
	assert_memory_equal(in.p, "/ HTTP", 6);
	inbox_use(&in, 6);
	assert_int_equal(inbox_keep(&in, &l.blocks, NULL), 0);
	assert_true(inbox_is_empty(&in) && inbox_head(&in, &other) == &other);
	assert_int_equal(inbox_fill(&in, &l.wire, &l.worker), WIRE_AGAIN);
	close(l.far);
	l.far = -1;
	assert_int_equal(inbox_fill(&in, &l.wire, &l.worker), 0);
	lab_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_grow_and_come_back),
		cmocka_unit_test(what_does_not_go_waits_in_order),
		cmocka_unit_test(small_pieces_and_large_ones),
		cmocka_unit_test(chunks),
		cmocka_unit_test(a_far_side_that_is_gone),
		cmocka_unit_test(what_is_in_a_pipe_goes_behind_what_waits),
		cmocka_unit_test(a_pipe_in_which_bytes_wait_is_emptied_for_another),
		cmocka_unit_test(a_pipe_of_an_outbox_that_ends),
		cmocka_unit_test(what_is_left_is_in_front_of_what_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
