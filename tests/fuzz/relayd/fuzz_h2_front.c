/*
 * What a client may send that says it speaks HTTP/2: whole connections, cut into reads anywhere. There are no routes, so every request is
 * answered here. What is taken is given back: streams, blocks, descriptors.
 */
#define _GNU_SOURCE
#include "common/base/err.h"
#include "common/uv/fd_budget.h"
#include "relayd/http/desk.h"
#include "relayd/http/h2_front.h"
#include "relayd/loop/service.h"
#include "relayd/loop/workers.h"
#include "relayd/vhost/front.h"
#include "tests/fuzz/fuzz.h"

#include <sys/eventfd.h>
#include <unistd.h>

static struct {
	struct fd_budget fds;
	struct workers *workers;
	struct front *fronts[FRONTS_N];
	struct http_conf conf;
	struct http_desk *desk;
	/* the wire */
	const uint8_t *p;
	size_t n;
	unsigned piece;
	unsigned rounds;
	struct task turn;
} lab;

static ssize_t on_read(struct wire *w, struct worker *on, uint8_t *p, size_t n)
{
	const size_t part = MIN(MIN(n, lab.n), (size_t)lab.piece);

	(void)on;
	if (part == 0) {
		w->side.readable = false;
		return w->side.fin ? 0 : WIRE_AGAIN;
	}
	memcpy(p, lab.p, part);
	lab.p += part;
	lab.n -= part;
	return (ssize_t)part;
}

static ssize_t on_writev(struct wire *w, const struct iovec *iov, int n)
{
	ssize_t sum = 0;

	(void)w;
	for (int i = 0; i < n; i++)
		sum += (ssize_t)iov[i].iov_len;
	return sum;
}

static int on_finish(struct wire *w)
{
	(void)w;
	return 0;
}

static void on_close(struct wire *w, bool reset)
{
	side_close(&w->side, reset);
}

static const struct wire_ops ops = { .read = on_read, .writev = on_writev, .finish = on_finish, .close = on_close };

/* Some rounds of the worker, so that what waits for their ends is done. */
static void on_turn(struct task *t)
{
	struct worker *w = workers_at(lab.workers, 0);

	if (lab.rounds-- == 0)
		worker_stop(w);
	else
		worker_again(w, t);
}

static void run(unsigned rounds)
{
	struct worker *w = workers_at(lab.workers, 0);

	lab.rounds = rounds;
	w->stopping = false;
	worker_again(w, &lab.turn);
	worker_run(w);
	worker_bury_all(w);
}

static void start(void)
{
	struct service_env env = { .fds = &lab.fds, .fronts = lab.fronts };

	fd_budget_init(&lab.fds, 1000);
	FUZZ_CHECK(workers_new(&lab.workers, 1, &lab.fds, NULL) == 0);
	env.workers = lab.workers;
	for (int i = 0; i < FRONTS_N; i++) {
		const struct front_conf conf = { .name = "http", .listen = "off", .workers = 1 };

		FUZZ_CHECK(front_new(&lab.fronts[i], &conf, &env, NULL) == 0);
	}
	lab.conf.limits = http_limits_default;
	lab.conf.body_timeout_ms = lab.conf.head_timeout_ms = lab.conf.idle_timeout_ms = 10000;
	lab.desk = desk_new(workers_at(lab.workers, 0), &env, &lab.conf);
	FUZZ_CHECK(lab.desk != NULL);
	task_init(&lab.turn, on_turn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct h2_opening o = { .tls = true };
	struct addr from = { 0 };
	struct wire w = { .ops = &ops };
	static uint8_t bytes[64 + 65536];

	if (size < 1 || size > 65536)
		return 0;
	if (lab.desk == NULL)
		start();
	memcpy(bytes, preface, sizeof preface - 1);
	memcpy(bytes + sizeof preface - 1, data + 1, size - 1);
	lab.p = bytes;
	lab.n = sizeof preface - 1 + size - 1;
	lab.piece = 1u + data[0] * 16u; /* of each read */
	side_init(&w.side, NULL, eventfd(0, 0));
	FUZZ_CHECK(w.side.io.fd >= 0);
	w.side.readable = w.side.writable = true;
	o.from = &from;
	h2_front_open(lab.desk, &w, &o);
	run(4);
	while (!list_empty(&lab.desk->h2_fronts))
		h2_front_cut(h2_front_of(list_first(&lab.desk->h2_fronts)));
	run(2);
	FUZZ_CHECK(lab.desk->exchanges.live == 0 && lab.desk->blocks.held == 0);
	FUZZ_CHECK(fd_budget_used(&lab.fds) == 0);
	return 0;
}
