#include "client/agent/relay/proxy_hop.h"

#include "client/agent/relay/http_proxy.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/uv/sys.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct proxy_hop {
	struct worker *worker;
	struct proxy_hop_conf conf;
	struct io io;
	struct timer timer;
	struct task grave;
	struct buf request;
	size_t sent;
	uint8_t answer[HTTP_PROXY_ANSWER_MAX];
	bool over;
};

static void on_buried(struct task *t)
{
	struct proxy_hop *h = CONTAINER_OF(t, struct proxy_hop, grave);

	buf_free(&h->request);
	free(h);
}

static void hop_end(struct proxy_hop *h)
{
	h->over = true;
	wheel_disarm(&h->timer);
	worker_bury(h->worker, &h->grave);
}

void proxy_hop_cancel(struct proxy_hop *h)
{
	if (h == NULL || h->over)
		return;
	io_del(h->worker, &h->io);
	io_close(&h->io);
	hop_end(h);
}

static void hop_fail(struct proxy_hop *h, const struct err *e)
{
	proxy_hop_cancel(h);
	h->conf.on_done(h->conf.arg, -1, e);
}

static void on_due(struct timer *t)
{
	struct err e;

	err_set(&e, ERR_TIMEOUT, NULL, "the proxy does not answer");
	hop_fail(CONTAINER_OF(t, struct proxy_hop, timer), &e);
}

static int hop_send(struct proxy_hop *h, struct err *e)
{
	while (h->sent < h->request.len) {
		ssize_t n = sys_send(h->io.fd, h->request.data + h->sent, h->request.len - h->sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : err_set_sys(e, ERR_UNAVAILABLE, errno, "the proxy");
		h->sent += (size_t)n;
	}
	return 0;
}

/* Only the head is taken out of the socket: what follows belongs to whoever gets it. > 0: the answer is good. */
static int hop_receive(struct proxy_hop *h, struct err *e)
{
	ssize_t n = sys_recv(h->io.fd, h->answer, sizeof h->answer, MSG_PEEK);
	int used;

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return err_set_sys(e, ERR_UNAVAILABLE, n < 0 ? errno : ECONNRESET, "the proxy");
	used = http_proxy_answer(h->answer, (size_t)n, e);
	if (used <= 0)
		return used;
	return sys_recv(h->io.fd, h->answer, (size_t)used, 0) == used
	               ? 1
	               : err_set(e, ERR_UNAVAILABLE, NULL, "the proxy's answer cannot be read");
}

static void on_socket(struct io *io, uint32_t events)
{
	struct proxy_hop *h = CONTAINER_OF(io, struct proxy_hop, io);
	struct err e = { .code = ERR_NONE };
	int r, fd = io->fd;

	(void)events;
	r = hop_send(h, &e);
	if (r == 0)
		r = hop_receive(h, &e);
	if (r < 0) {
		hop_fail(h, &e);
	} else if (r > 0) {
		io_del(h->worker, io);
		io->fd = -1;
		hop_end(h);
		h->conf.on_done(h->conf.arg, fd, NULL);
	}
}

struct proxy_hop *proxy_hop_start(struct worker *w, int fd, const struct proxy_hop_conf *conf)
{
	struct proxy_hop *h = calloc(1, sizeof *h);

	if (h == NULL) {
		close(fd);
		return NULL;
	}
	h->worker = w;
	h->conf = *conf;
	io_init(&h->io, on_socket, fd);
	timer_init(&h->timer, on_due);
	task_init(&h->grave, on_buried);
	buf_init(&h->request, HTTP_PROXY_ANSWER_MAX);
	http_proxy_request(conf->proxy, conf->host, conf->port, &h->request);
	if (h->request.failed || io_add(w, &h->io, IO_STREAM) != 0) {
		io_close(&h->io);
		buf_free(&h->request);
		free(h);
		return NULL;
	}
	wheel_arm(&w->wheel, &h->timer, w->now_ns + conf->timeout_ms * UINT64_C(1000000));
	return h;
}
