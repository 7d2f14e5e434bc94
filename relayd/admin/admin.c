#include "relayd/admin/admin.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/net/addr.h"
#include "relayd/admin/admin_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64

struct admin {
	struct admin_conf conf;
	uv_tcp_t listener;
	struct list conns; /* struct admin_conn */
	size_t n_conns;
	uint64_t turned_away;
	bool listening; /* the listener is a handle that is not closed */
	bool closing;
	void (*on_closed)(void *arg);
	void *arg;
};

static int make_socket(const char *listen, struct err *e)
{
	struct addr a;
	int fd, one = 1;

	if (addr_parse(&a, listen) != 0)
		return err_set(e, ERR_VALIDATION, "metrics.listen", "metrics.listen: '%s' is not address:port", listen);
	if ((fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		return err_set_sys(e, ERR_IO, errno, "metrics.listen %s", listen);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, &a.sa, a.len) == 0)
		return fd;
	err_set_sys(e, errno == EADDRINUSE ? ERR_ADDR_IN_USE : ERR_IO, errno, "metrics.listen %s", listen);
	close(fd);
	return -1;
}

static void admin_end_if_done(struct admin *a)
{
	void (*on_closed)(void *arg) = a->on_closed;
	void *arg = a->arg;

	if (!a->closing || a->listening || a->n_conns > 0)
		return;
	free(a);
	on_closed(arg);
}

static void on_conn_closed(struct admin_conn *c, void *arg)
{
	struct admin *a = arg;

	list_remove(admin_conn_link(c));
	admin_conn_free(c);
	a->n_conns--;
	admin_end_if_done(a);
}

static unsigned answer(void *arg, const char *path, const char **content_type, struct buf *out)
{
	struct admin *a = arg;

	for (size_t i = 0; i < a->conf.n_pages; i++)
		if (strcmp(a->conf.pages[i].path, path) == 0) {
			*content_type = a->conf.pages[i].content_type;
			return a->conf.pages[i].print(a->conf.arg, out);
		}
	return 404;
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct admin *a = listener->data;
	struct admin_conn *c;

	if (status < 0 || a->closing)
		return;
	if (admin_conn_new(&c, listener, a->conf.deadline_ms, answer, on_conn_closed, a) != 0)
		return;
	list_push_back(&a->conns, admin_conn_link(c));
	a->n_conns++;
	if (a->n_conns > a->conf.connections) {
		a->turned_away++;
		admin_conn_close(c);
	}
}

static void on_nothing(void *arg)
{
	(void)arg;
}

int admin_open(struct admin **out, uv_loop_t *loop, const struct admin_conf *conf, struct err *e)
{
	struct admin *a = calloc(1, sizeof *a);
	int fd = conf->listen_fd, r;

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "metrics.listen: out of memory");
	if (fd < 0 && (fd = make_socket(conf->listen, e)) < 0) {
		free(a);
		return -1;
	}
	a->conf = *conf;
	list_init(&a->conns);
	uv_tcp_init(loop, &a->listener);
	a->listener.data = a;
	a->listening = true;
	if ((r = uv_tcp_open(&a->listener, fd)) != 0)
		close(fd);
	else
		r = uv_listen((uv_stream_t *)&a->listener, BACKLOG, on_connection);
	if (r != 0) {
		admin_close(a, on_nothing, NULL);
		return err_set(e, r == UV_EADDRINUSE ? ERR_ADDR_IN_USE : ERR_IO, "metrics.listen",
			"metrics.listen %s: %s", conf->listen, uv_strerror(r));
	}
	*out = a;
	return 0;
}

int admin_fd(const struct admin *a)
{
	uv_os_fd_t fd = -1;

	return a->listening && uv_fileno((const uv_handle_t *)&a->listener, &fd) == 0 ? fd : -1;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct admin *a = h->data;

	a->listening = false;
	admin_end_if_done(a);
}

void admin_quiesce(struct admin *a)
{
	if (!uv_is_closing((uv_handle_t *)&a->listener))
		uv_close((uv_handle_t *)&a->listener, on_listener_closed);
}

void admin_close(struct admin *a, void (*on_closed)(void *arg), void *arg)
{
	if (a->closing)
		return;
	a->closing = true;
	a->on_closed = on_closed;
	a->arg = arg;
	LIST_FOREACH_SAFE (it, &a->conns)
		admin_conn_close(admin_conn_of(it));
	if (a->listening)
		admin_quiesce(a);
	else
		admin_end_if_done(a);
}
