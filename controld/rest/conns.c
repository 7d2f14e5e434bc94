#include "controld/rest/conns.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/crypto/tls.h"
#include "common/net/addr.h"
#include "controld/loop/loop.h"
#include "controld/rest/rest_metrics.h"
#include "controld/rest/server.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CONNS_SWEEP_MS   250
#define CONNS_DRAIN_MS   20 /* how often a draining set is looked at */
#define CONNS_SWEEP_PART 64
#define CONNS_BACKLOG    1024
#define CONNS_LINES_MAX  100
#define CONNS_METHODS                                                                              \
	(EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
		EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH)

struct conns {
	const struct server_conf *conf;
	struct tls_ctx *tls; /* NULL: plain HTTP */
	struct rest_metrics *metrics;
	struct strict_limits limits;
	size_t max;
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL: not accepting */
	uint16_t port;
	struct loop_timer *sweep;
	struct map members;   /* of struct conn, by its evhttp_connection */
	struct map addresses; /* of struct conns_address */
	conns_fn on_request;
	void *arg;
	bool draining;
	uint64_t drain_until_ms;
	void (*empty)(void *arg);
	void *empty_arg;
	time_t date_of;
	char date[40];
};

/* How many connections an address has. An IPv6 client owns a whole /64, so that is what is counted. */
struct conns_address {
	uint8_t key[9];
	size_t n;
};

struct conns_member {
	struct evhttp_connection *ev; /* key */
	struct conn *conn;
	struct conns_address *address;
};

/* ---- counting addresses ------------------------------------------------------------------------------------------ */

static void conns_address_key(uint8_t key[9], const struct addr *a)
{
	memset(key, 0, 9);
	key[0] = (uint8_t)a->sa.sa_family;
	if (a->sa.sa_family == AF_INET)
		memcpy(key + 1, &a->v4.sin_addr, 4);
	else
		memcpy(key + 1, &a->v6.sin6_addr, 8);
}

/* The entry of this address with one connection more, or NULL when it has its share (or for no memory). */
static struct conns_address *conns_address_take(struct conns *s, const struct addr *a)
{
	struct conns_address *found;
	uint8_t key[9];

	conns_address_key(key, a);
	found = map_get(&s->addresses, key, sizeof key);
	if (found == NULL) {
		found = calloc(1, sizeof *found);
		if (found == NULL)
			return NULL;
		memcpy(found->key, key, sizeof key);
		if (map_put(&s->addresses, found->key, sizeof found->key, found, NULL) != 0) {
			free(found);
			return NULL;
		}
	}
	if (s->conf->connections_per_address_max != 0 && found->n >= s->conf->connections_per_address_max)
		return NULL;
	found->n++;
	return found;
}

static void conns_address_give(struct conns *s, struct conns_address *a)
{
	if (--a->n > 0)
		return;
	map_remove(&s->addresses, a->key, sizeof a->key);
	free(a);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static struct conns_member *conns_find(struct conns *s, struct evhttp_connection *ev)
{
	return map_get(&s->members, &ev, sizeof ev);
}

static int conns_refuse(struct conns *s, const char *reason)
{
	rest_metrics_conn_refused(s->metrics, reason);
	return -1;
}

int conns_add(struct conns *s, struct conn *c)
{
	struct conns_member *m;

	if (s->draining)
		return conns_refuse(s, "stopping");
	if (map_count(&s->members) >= s->max)
		return conns_refuse(s, "connections_max");
	m = calloc(1, sizeof *m);
	if (m == NULL)
		return conns_refuse(s, "memory");
	*m = (struct conns_member){ .ev = conn_ev(c), .conn = c, .address = conns_address_take(s, conn_peer(c)) };
	if (m->address == NULL) {
		free(m);
		return conns_refuse(s, "connections_per_address_max");
	}
	if (map_put(&s->members, &m->ev, sizeof m->ev, m, NULL) != 0) {
		conns_address_give(s, m->address);
		free(m);
		return conns_refuse(s, "memory");
	}
	rest_metrics_conns(s->metrics, map_count(&s->members));
	return 0;
}

void conns_remove(struct conns *s, struct conn *c)
{
	struct evhttp_connection *ev = conn_ev(c);
	struct conns_member *m = map_remove(&s->members, &ev, sizeof ev);

	if (m == NULL)
		return; /* was never admitted */
	conns_address_give(s, m->address);
	free(m);
	rest_metrics_conns(s->metrics, map_count(&s->members));
}

void conns_request(struct conns *s, struct conn *c, struct conn_input *in)
{
	s->on_request(s->arg, c, in);
}

/* ---- evhttp ------------------------------------------------------------------------------------------------------ */

static void on_evhttp_request(struct evhttp_request *req, void *arg)
{
	struct conns *s = arg;
	struct evhttp_connection *ev = evhttp_request_get_connection(req);
	struct conns_member *m = conns_find(s, ev);

	/* Without a conn nothing was checked: happens for lack of memory only. */
	if (m == NULL)
		evhttp_connection_free(ev);
	else
		conn_take(m->conn, req);
}

static struct bufferevent *on_evhttp_accept(struct event_base *base, void *arg)
{
	struct conns *s = arg;
	struct bufferevent *bev;

	if (s->tls == NULL) {
		bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	} else {
		struct ssl_st *ssl = tls_ctx_ssl(s->tls);

		bev = ssl == NULL ? NULL
		                  : bufferevent_openssl_socket_new(
					    base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
		if (bev != NULL)
			bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	}
	if (bev != NULL)
		(void)bufferevent_set_max_single_write(bev, CONNS_WRITE_MAX);
	if (bev != NULL && conn_open(s, bev) != 0)
		rest_metrics_conn_refused(s->metrics, "memory");
	return bev;
}

static int conns_new_http(struct conns *s, struct loop *loop)
{
	s->http = evhttp_new(loop_base(loop));
	if (s->http == NULL)
		return -1;
	evhttp_set_gencb(s->http, on_evhttp_request, s);
	evhttp_set_bevcb(s->http, on_evhttp_accept, s);
	evhttp_set_allowed_methods(s->http, CONNS_METHODS);
	evhttp_set_default_content_type(s->http, NULL);
	/* Never reached: the strict reader in front has the same limits. */
	evhttp_set_max_headers_size(s->http, (ev_ssize_t)s->limits.head_max);
	evhttp_set_max_body_size(s->http, (ev_ssize_t)s->limits.body_max);
	return 0;
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

const char *conns_date(struct conns *s)
{
	const time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;

	if (now != s->date_of && gmtime_r(&now, &tm) != NULL) {
		s->date_of = now;
		(void)strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return s->date;
}

/* Ends those for which due() holds; in parts, because each end changes the map. */
static void conns_end(struct conns *s, bool (*due)(const struct conn *c, uint64_t now_ms))
{
	const uint64_t now_ms = clock_mono_ms();
	struct conn *part[CONNS_SWEEP_PART];
	size_t n;

	do {
		const struct conns_member *m;
		size_t it = 0;

		n = 0;
		while (n < ARRAY_LEN(part) && (m = map_next(&s->members, &it)) != NULL)
			if (due(m->conn, now_ms))
				part[n++] = m->conn;
		for (size_t i = 0; i < n; i++)
			conn_close(part[i]);
	} while (n == ARRAY_LEN(part));
}

static bool conns_is_late(const struct conn *c, uint64_t now_ms)
{
	const uint64_t deadline = conn_deadline_ms(c);

	return deadline != 0 && deadline <= now_ms;
}

static bool conns_is_idle(const struct conn *c, uint64_t now_ms)
{
	(void)now_ms;
	return conn_state(c) == CONN_IDLE || conn_state(c) == CONN_STREAM; /* which has no end of its own */
}

static bool conns_is_any(const struct conn *c, uint64_t now_ms)
{
	(void)c;
	(void)now_ms;
	return true;
}

static void on_sweep(void *arg)
{
	struct conns *s = arg;

	conns_end(s, conns_is_late);
	if (!s->draining)
		return;
	if (clock_mono_ms() >= s->drain_until_ms) {
		if (map_count(&s->members) > 0)
			log_warn("http_stop_forced", log_u("connections", map_count(&s->members)));
		conns_end(s, conns_is_any);
	}
	if (map_count(&s->members) > 0)
		return;
	loop_timer_stop(s->sweep);
	s->empty(s->empty_arg); /* may free s */
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* Accepting must never run out of descriptors: half of them is the most that clients may hold. */
static size_t conns_max_of(const struct server_conf *conf)
{
	struct rlimit fds;
	size_t max = conf->connections_max;

	if (getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur != RLIM_INFINITY && max > fds.rlim_cur / 2) {
		max = fds.rlim_cur / 2;
		log_warn("http_connections_limited", log_u("connections_max", conf->connections_max), log_u("now", max),
			log_u("descriptors", fds.rlim_cur));
	}
	return max;
}

int conns_new(struct conns **out, const struct server_conf *conf, struct loop *loop, struct rest_metrics *metrics,
	struct err *e)
{
	struct conns *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "http: out of memory");
	s->conf = conf;
	s->tls = conf->tls;
	s->metrics = metrics;
	s->limits = (struct strict_limits){
		.head_max = conf->head_max,
		.body_max = conf->body_max,
		.lines_max = CONNS_LINES_MAX,
	};
	map_init(&s->members);
	map_init(&s->addresses);
	if (conns_new_http(s, loop) != 0) {
		err_set(e, ERR_NOMEM, NULL, "http: out of memory");
		goto fail;
	}
	if (loop_timer_new(&s->sweep, loop, on_sweep, s, e) != 0)
		goto fail;
	*out = s;
	return 0;
fail:
	conns_free(s);
	return -1;
}

void conns_free(struct conns *s)
{
	if (s == NULL)
		return;
	conns_end(s, conns_is_any);
	loop_timer_free(s->sweep);
	if (s->http != NULL)
		evhttp_free(s->http);
	map_free(&s->members);
	map_free(&s->addresses);
	free(s);
}

void conns_on_request(struct conns *s, conns_fn fn, void *arg)
{
	s->on_request = fn;
	s->arg = arg;
}

/* Accepted sockets inherit TCP_NODELAY: without it an answer waits for the client's delayed ACK. */
static int conns_socket(const struct addr *a, struct err *e)
{
	const int on = 1;
	const int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[ADDR_STRLEN];

	addr_print(a, text);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 || bind(fd, &a->sa, a->len) != 0 ||
		listen(fd, CONNS_BACKLOG) != 0) {
		err_set_sys(e, errno == EADDRINUSE ? ERR_ADDR_IN_USE : ERR_IO, errno, "http: listen on %s", text);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

int conns_listen(struct conns *s, struct err *e)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct addr a;
	int fd;

	if (addr_parse(&a, s->conf->listen) != 0)
		return err_set(
			e, ERR_VALIDATION, "listen", "http: listen address \"%s\" is not ip:port", s->conf->listen);
	s->max = conns_max_of(s->conf);
	fd = conns_socket(&a, e);
	if (fd < 0)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0) {
		addr_from_sockaddr(&a, (struct sockaddr *)&ss, len);
		s->port = addr_port(&a);
	}
	s->bound = evhttp_accept_socket_with_handle(s->http, fd);
	if (s->bound == NULL) {
		close(fd);
		return err_set(e, ERR_NOMEM, NULL, "http: out of memory");
	}
	loop_timer_every(s->sweep, CONNS_SWEEP_MS);
	return 0;
}

void conns_set_tls(struct conns *s, struct tls_ctx *tls)
{
	if (s->tls != NULL && tls != NULL)
		s->tls = tls;
}

uint16_t conns_port(const struct conns *s)
{
	return s->port;
}

void conns_drain(struct conns *s, uint64_t ms, void (*empty)(void *arg), void *arg)
{
	s->draining = true;
	s->drain_until_ms = clock_mono_ms() + ms;
	s->empty = empty;
	s->empty_arg = arg;
	if (s->bound != NULL)
		evhttp_del_accept_socket(s->http, s->bound);
	s->bound = NULL;
	conns_end(s, conns_is_idle);
	loop_timer_every(s->sweep, CONNS_DRAIN_MS);
}

const struct server_conf *conns_conf(const struct conns *s)
{
	return s->conf;
}

const struct strict_limits *conns_limits(const struct conns *s)
{
	return &s->limits;
}

bool conns_draining(const struct conns *s)
{
	return s->draining;
}
