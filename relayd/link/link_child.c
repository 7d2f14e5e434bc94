#include "relayd/link/link_child.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "common/nng/nng_tls.h"
#include "relayd/link/link_frame.h"
#include "relayd/link/link_resolve.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define UNTRUSTED \
	"controld no longer trusts the CA of this relay's certificate: restart with a new join token for this node"
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000

/* What a callback noted and the main loop has not told the parent yet. */
struct news {
	bool state;     /* up or down changed */
	uint32_t pipe;  /* that is up; 0: none */
	uint32_t ended; /* the last one that is not any more */
	bool done;      /* the request under way ended */
	int rv;         /* of it; 0: msg is the reply */
	nng_msg *msg;
};

struct line {
	struct link_child *child;
	enum link_line number;
	nng_socket socket;
	nng_aio *aio;
	bool receiving;   /* only nng's callback and, between requests, the main thread touch it */
	bool busy;        /* main thread: a request is under way */
	struct news news; /* under child->lock */
};

struct link_child {
	int fd;   /* parent */
	int wake; /* eventfd */
	pthread_mutex_t lock;
	struct line lines[LINES_N];
	struct buf in, out;
};

/* ---- nng's threads ----------------------------------------------------------------------------------------------- */

static void wake(struct link_child *c)
{
	uint64_t one = 1;

	if (write(c->wake, &one, sizeof one) < 0 && errno != EAGAIN)
		_exit(1);
}

static void note_done(struct line *l, int rv, nng_msg *msg)
{
	pthread_mutex_lock(&l->child->lock);
	l->news.done = true;
	l->news.rv = rv;
	l->news.msg = msg;
	pthread_mutex_unlock(&l->child->lock);
	wake(l->child);
}

static void on_aio(void *arg)
{
	struct line *l = arg;
	int rv = nng_aio_result(l->aio);

	if (rv != 0) {
		if (!l->receiving)
			nng_msg_free(nng_aio_get_msg(l->aio));
		note_done(l, rv, NULL);
	} else if (l->receiving) {
		note_done(l, 0, nng_aio_get_msg(l->aio));
	} else {
		l->receiving = true;
		nng_recv_aio(l->socket, l->aio);
	}
}

/* On several threads: the end of a pipe may be told before its beginning, or after the beginning of the next one. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct line *l = arg;

	struct news *news = &l->news;
	const bool added = event == NNG_PIPE_EV_ADD_POST;

	pthread_mutex_lock(&l->child->lock);
	if (added ? pipe.id != news->ended : pipe.id == news->pipe) {
		news->state = true;
		news->pipe = added ? pipe.id : 0;
	}
	if (!added)
		news->ended = pipe.id;
	pthread_mutex_unlock(&l->child->lock);
	wake(l->child);
}

/* ---- the main thread ------------------------------------------------------------------------------------------- */

static void flush(struct link_child *c)
{
	size_t at = 0;

	while (at < c->out.len) {
		ssize_t n = write(c->fd, c->out.data + at, c->out.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0); /* the parent is gone */
		at += (size_t)n;
	}
	buf_free(&c->out); /* an update may be a megabyte, and the next one far away */
}

static void tell(struct line *l, enum link_frame_kind kind, const void *p, size_t n)
{
	link_frame_put(&l->child->out, kind, (int)l->number, p, n);
	flush(l->child);
}

static void tell_text(struct line *l, enum link_frame_kind kind, const char *text)
{
	tell(l, kind, text, strlen(text));
}

_Noreturn static void give_up(struct line *l, const char *why)
{
	tell_text(l, LINK_FRAME_DOWN, why);
	_exit(1);
}

static int set_options(struct line *l, nng_dialer d)
{
	int rv;

	/* A poll is parked for long: nng's own repetition would make it two. A lost pipe ends the request instead. */
	if ((rv = nng_socket_set_ms(l->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE)) != 0)
		return rv;
	if ((rv = nng_dialer_set_size(d, NNG_OPT_RECVMAXSZ, PROTO_MSG_MAX)) != 0)
		return rv;
	if ((rv = nng_dialer_set_ms(d, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0)
		return rv;
	if ((rv = nng_dialer_set_ms(d, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0)
		return rv;
	return nng_dialer_set_bool(d, NNG_OPT_TCP_KEEPALIVE, true);
}

/* Connects once and waits for it, so that the reason of a failure is known; later nng reconnects by itself. */
static void line_open(struct line *l, const struct link_frame_open *o, const char *address)
{
	const struct tls_conf tls = { .cert_pem = o->cert_pem[0] != '\0' ? o->cert_pem : NULL,
		.key_pem = o->key_pem[0] != '\0' ? o->key_pem : NULL,
		.ca_pem = o->ca_pem[0] != '\0' ? o->ca_pem : NULL,
		.ca_fingerprint = o->ca_fingerprint[0] != '\0' ? o->ca_fingerprint : NULL,
		.peer = TLS_PEER_REQUIRED };
	struct err e = { .code = ERR_NONE };
	char url[320];
	nng_dialer d;
	int rv;

	str_fmt(url, sizeof url, "tls+tcp://%s", address);
	if ((rv = nng_req0_open(&l->socket)) != 0 || (rv = nng_aio_alloc(&l->aio, on_aio, l)) != 0 ||
		(rv = nng_pipe_notify(l->socket, NNG_PIPE_EV_ADD_POST, on_pipe, l)) != 0 ||
		(rv = nng_pipe_notify(l->socket, NNG_PIPE_EV_REM_POST, on_pipe, l)) != 0 ||
		(rv = nng_dialer_create(&d, l->socket, url)) != 0 || (rv = set_options(l, d)) != 0)
		give_up(l, nng_strerror(rv));
	if (nng_tls_set_dialer(d, &tls, &e) != 0)
		give_up(l, e.msg);
	rv = nng_dialer_start(d, 0);
	if (rv == NNG_TLS_UNTRUSTED)
		give_up(l, UNTRUSTED);
	if (rv != 0)
		give_up(l, nng_strerror(rv));
}

static void child_open(struct link_child *c, const struct link_frame *f)
{
	struct link_frame_open o;
	char address[ADDR_STRLEN];
	struct err e = { .code = ERR_NONE };

	if (c->lines[LINE_REPORT].aio != NULL || link_frame_open_get(&o, f->p, f->n) != 0)
		_exit(1);
	if (nng_tls_register(&e) != 0)
		give_up(&c->lines[LINE_REPORT], e.msg);
	/* once, so that both lines go to one controld */
	if (link_resolve(o.address, o.turn, address, &e) != 0)
		give_up(&c->lines[LINE_REPORT], e.msg);
	line_open(&c->lines[LINE_REPORT], &o, address);
	if (o.cert_pem[0] != '\0') /* without a certificate there is nothing but joining */
		line_open(&c->lines[LINE_POLL], &o, address);
	seal_wipe(&o, sizeof o);
}

static void child_send(struct link_child *c, const struct link_frame *f)
{
	struct line *l;
	nng_msg *msg;
	int rv;

	if (f->n < 1 || f->p[0] >= LINES_N)
		_exit(1);
	l = &c->lines[f->p[0]];
	if (l->aio == NULL || l->busy)
		_exit(1); /* one request at a time: the parent keeps to it */
	if ((rv = nng_msg_alloc(&msg, f->n - 1)) != 0) {
		tell_text(l, LINK_FRAME_LOST, nng_strerror(rv));
		return;
	}
	memcpy(nng_msg_body(msg), f->p + 1, f->n - 1);
	l->busy = true;
	l->receiving = false;
	nng_aio_set_msg(l->aio, msg);
	nng_send_aio(l->socket, l->aio);
}

static void line_tell_news(struct line *l)
{
	struct news news;

	pthread_mutex_lock(&l->child->lock);
	news = l->news;
	l->news = (struct news){ .pipe = news.pipe, .ended = news.ended };
	pthread_mutex_unlock(&l->child->lock);
	if (news.done) {
		l->busy = false;
		if (news.rv != 0) {
			tell_text(l, LINK_FRAME_LOST, nng_strerror(news.rv));
		} else {
			tell(l, LINK_FRAME_REPLY, nng_msg_body(news.msg), nng_msg_len(news.msg));
			nng_msg_free(news.msg);
		}
	}
	if (news.state && news.pipe != 0)
		tell_text(l, LINK_FRAME_UP, "");
	else if (news.state)
		tell_text(l, LINK_FRAME_DOWN, "connection lost");
}

static void read_parent(struct link_child *c)
{
	uint8_t *room = buf_reserve(&c->in, 65536);
	struct link_frame f;
	ssize_t n, used;

	if (room == NULL || (n = read(c->fd, room, 65536)) == 0)
		_exit(0);
	if (n < 0) {
		if (errno == EINTR)
			return;
		_exit(0);
	}
	c->in.len += (size_t)n;
	while ((used = link_frame_get(&f, c->in.data, c->in.len)) > 0) {
		if (f.kind == LINK_FRAME_OPEN)
			child_open(c, &f);
		else if (f.kind == LINK_FRAME_SEND)
			child_send(c, &f);
		else
			_exit(1);
		buf_consume(&c->in, (size_t)used);
	}
	if (used < 0)
		_exit(1);
	if (c->in.len == 0)
		buf_free(&c->in);
}

/* A signal for the whole group (Ctrl-C, systemctl kill) is the parent's matter: it needs its line while it drains. */
static void ignore_signals(void)
{
	static const int numbers[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		signal(numbers[i], SIG_IGN);
}

static void child_init(struct link_child *c, int fd)
{
	*c = (struct link_child){ .fd = fd };
	prctl(PR_SET_NAME, "relayd-link");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ignore_signals();
	pthread_mutex_init(&c->lock, NULL);
	buf_init(&c->in, LINK_FRAME_HEAD + LINK_FRAME_MAX + 65536);
	buf_init(&c->out, 2 * (LINK_FRAME_HEAD + LINK_FRAME_MAX));
	if ((c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		_exit(1);
	for (int i = 0; i < LINES_N; i++)
		c->lines[i] = (struct line){ .child = c, .number = (enum link_line)i };
}

_Noreturn void link_child_run(int fd)
{
	struct link_child *c = malloc(sizeof *c);

	if (c == NULL)
		_exit(1);
	child_init(c, fd);
	for (;;) {
		struct pollfd fds[] = { { .fd = c->fd, .events = POLLIN }, { .fd = c->wake, .events = POLLIN } };
		uint64_t count;

		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			_exit(1);
		if (fds[1].revents != 0 && read(c->wake, &count, sizeof count) > 0)
			for (int i = 0; i < LINES_N; i++)
				line_tell_news(&c->lines[i]);
		if (fds[0].revents != 0)
			read_parent(c);
	}
}
