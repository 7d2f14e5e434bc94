/*
 * benchhttp - HTTP/1.1 for benchmarks (tests/bench/l7.py): backends of a known speed, and a load at a known rate.
 *
 *	benchhttp serve PORT[,SERVICE_US,PLACES[,STALL_MS,EVERY_MS]]...
 *	benchhttp load PORT HOST CONNECTIONS RATE SECONDS
 *
 * serve prints "ready". "GET /N" is answered with N bytes (128 where there is none), at once, or after a service time that is drawn anew
 * for each (exponential, SERVICE_US in the mean) by one of PLACES servers, behind whom a queue waits; a backend that stalls does
 * nothing for STALL_MS every EVERY_MS.
 *
 * load asks RATE times a second, at random times (Poisson), over connections that stay; a request that finds none free waits, and that
 * is in its time. Prints "ok=N failed=N p50_us=N p99_us=N p999_us=N".
 */
#define _GNU_SOURCE
#include "common/base/clock.h"
#include "common/base/macros.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKENDS_MAX 64
#define FDS_MAX      20000
#define HEAD_MAX     4096
#define BODY_MAX     (64 * 1024)
#define EVENTS       256
#define NS_MS        UINT64_C(1000000)

static char body[BODY_MAX];
static int ep;
static uint64_t seed = 88172645463325252u;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "benchhttp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double draw(void) /* (0, 1] */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return ((double)(seed >> 11) + 1) / 9007199254740993.0;
}

static void watch(int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
		die("epoll_ctl");
}

static void raise_limit(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

/* ---- things that are due, soonest first ------------------------------------------------------------------------------ */

struct due {
	uint64_t at;
	int fd;        /* of a connection that is answered */
	unsigned born; /* of that descriptor */
};
static struct due heap[FDS_MAX];
static size_t heap_n;

static void heap_push(struct due d)
{
	size_t i = heap_n++;

	if (heap_n >= FDS_MAX)
		die("too much at once");
	for (; i > 0 && heap[(i - 1) / 2].at > d.at; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = d;
}

static struct due heap_pop(void)
{
	const struct due top = heap[0], last = heap[--heap_n];
	size_t i = 0;

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= heap_n)
			break;
		if (k + 1 < heap_n && heap[k + 1].at < heap[k].at)
			k++;
		if (heap[k].at >= last.at)
			break;
		heap[i] = heap[k];
		i = k;
	}
	heap[i] = last;
	return top;
}

static int timeout_until(uint64_t at)
{
	const uint64_t now = clock_mono_ns();

	return at <= now ? 0 : (int)((at - now + NS_MS - 1) / NS_MS);
}

/* ---- backends -------------------------------------------------------------------------------------------------------- */

struct place {
	uint64_t free_at;
};
struct backend {
	int fd;
	double service_us;
	unsigned places;
	uint64_t stall_ns, every_ns;
	struct place at[64];
};
static struct backend backends[BACKENDS_MAX];
static unsigned n_backends;

struct conn {
	struct backend *of; /* NULL: none */
	unsigned born;
	size_t n, size;
	bool close, asked;
	char head[HEAD_MAX];
};
static struct conn *conns[FDS_MAX];

static void drop(int fd)
{
	struct conn *c = conns[fd];

	close(fd);
	c->of = NULL;
	c->born++;
	c->n = 0;
	c->asked = c->close = false;
}

static void take_connections(struct backend *b)
{
	int fd, one = 1;

	while ((fd = accept4(b->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= FDS_MAX || (conns[fd] == NULL && (conns[fd] = calloc(1, sizeof *conns[fd])) == NULL)) {
			close(fd);
			continue;
		}
		conns[fd]->of = b;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		watch(fd, EPOLLIN | EPOLLRDHUP);
	}
}

static void answer(int fd)
{
	struct conn *c = conns[fd];
	char head[160];
	const int n = snprintf(head, sizeof head,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n", c->size,
		c->close ? "Connection: close\r\n" : "");

	c->asked = false;
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL | (c->size > 0 ? MSG_MORE : 0)) != n ||
		(c->size > 0 && send(fd, body, c->size, MSG_NOSIGNAL) != (ssize_t)c->size) || c->close)
		drop(fd);
}

/* When one of its places will be done with it. */
static uint64_t serve_at(struct backend *b, uint64_t now)
{
	struct place *first = &b->at[0];
	uint64_t from, until;

	for (unsigned i = 1; i < b->places; i++)
		if (b->at[i].free_at < first->free_at)
			first = &b->at[i];
	from = MAX(now, first->free_at);
	until = from + (uint64_t)(-log(draw()) * b->service_us * 1000);
	if (b->every_ns > 0 && until % b->every_ns < b->stall_ns) /* it does nothing meanwhile */
		until += b->stall_ns - until % b->every_ns;
	first->free_at = until;
	return until;
}

static void on_request(int fd, uint64_t now)
{
	struct conn *c = conns[fd];
	char *end;

	c->head[c->n] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL)
		return;
	*end = '\0';
	c->size = 128;
	if (strncmp(c->head, "GET /", 5) == 0 && c->head[5] >= '0' && c->head[5] <= '9')
		c->size = MIN((size_t)strtoul(c->head + 5, NULL, 10), sizeof body);
	c->close = strcasestr(c->head, "\r\nconnection: close") != NULL;
	c->n = 0; /* nobody here asks before he was answered */
	c->asked = true;
	if (c->of->service_us <= 0)
		answer(fd);
	else
		heap_push((struct due){ serve_at(c->of, now), fd, c->born });
}

static void on_bytes(int fd, uint64_t now)
{
	struct conn *c = conns[fd];
	const ssize_t n = recv(fd, c->head + c->n, sizeof c->head - 1 - c->n, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || c->asked) {
		drop(fd);
		return;
	}
	c->n += (size_t)n;
	on_request(fd, now);
}

static void open_backend(const char *spec)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct backend *b = &backends[n_backends++];
	unsigned port = 0, places = 1, stall = 0, every = 0;
	int one = 1;

	sscanf(spec, "%u,%lf,%u,%u,%u", &port, &b->service_us, &places, &stall, &every);
	b->places = MIN(MAX(places, 1), ARRAY_LEN(b->at));
	b->stall_ns = stall * NS_MS;
	b->every_ns = every * NS_MS;
	a.sin_port = htons((uint16_t)port);
	b->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(b->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(b->fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(b->fd, 4096) != 0)
		die(spec);
	watch(b->fd, EPOLLIN);
}

static struct backend *backend_at(int fd)
{
	for (unsigned i = 0; i < n_backends; i++)
		if (backends[i].fd == fd)
			return &backends[i];
	return NULL;
}

_Noreturn static void serve(int n, char **specs)
{
	struct epoll_event events[EVENTS];

	memset(body, 'x', sizeof body);
	for (int i = 0; i < n && i < BACKENDS_MAX; i++)
		open_backend(specs[i]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		const int ready = epoll_wait(ep, events, EVENTS, heap_n > 0 ? timeout_until(heap[0].at) : -1);
		const uint64_t now = clock_mono_ns();

		for (int i = 0; i < ready; i++) {
			struct backend *b = backend_at(events[i].data.fd);

			if (b != NULL)
				take_connections(b);
			else if (conns[events[i].data.fd]->of != NULL)
				on_bytes(events[i].data.fd, now);
		}
		while (heap_n > 0 && heap[0].at <= now) {
			const struct due d = heap_pop();

			if (conns[d.fd]->born == d.born && conns[d.fd]->asked)
				answer(d.fd);
		}
	}
}

/* ---- load ------------------------------------------------------------------------------------------------------------ */

struct client {
	int fd; /* -1: not connected */
	bool busy;
	uint64_t since;
	size_t n;
	long left; /* of the answer's content; -1: its head is not whole */
	bool bad;
	char head[HEAD_MAX];
};

struct load {
	struct client *clients;
	unsigned n;
	struct sockaddr_in to;
	char request[320];
	size_t request_n;
	uint64_t *waiting; /* when those came that have no connection: a ring */
	size_t first, n_waiting;
	uint32_t *times_us;
	size_t ok, failed, cap;
};
#define WAITING_MAX 65536

static void client_open(struct load *l, struct client *c)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(c->fd, (struct sockaddr *)&l->to, sizeof l->to) != 0) {
		close(c->fd);
		c->fd = -1;
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void client_done(struct load *l, struct client *c, bool good)
{
	if (good && l->ok < l->cap)
		l->times_us[l->ok++] = (uint32_t)MIN((clock_mono_ns() - c->since) / 1000, UINT32_MAX);
	else
		l->failed++;
	c->busy = false;
}

static void client_lost(struct load *l, struct client *c)
{
	close(c->fd);
	c->fd = -1;
	if (c->busy)
		client_done(l, c, false);
}

static bool ask(struct load *l, struct client *c, uint64_t since)
{
	if (c->fd < 0)
		client_open(l, c);
	c->busy = true;
	c->since = since;
	c->n = 0;
	c->left = -1;
	if (c->fd < 0 || send(c->fd, l->request, l->request_n, MSG_NOSIGNAL) != (ssize_t)l->request_n) {
		client_done(l, c, false);
		return false;
	}
	return true;
}

static void read_head(struct client *c)
{
	char *end, *length;

	c->head[c->n] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL)
		return;
	length = strcasestr(c->head, "\r\ncontent-length:");
	c->bad = strncmp(c->head, "HTTP/1.1 200", 12) != 0;
	c->left = (length != NULL ? strtol(length + 17, NULL, 10) : 0) - (long)(c->n - (size_t)(end + 4 - c->head));
}

static void on_answer(struct load *l, struct client *c)
{
	const size_t room = c->left >= 0 ? sizeof c->head - 1 : sizeof c->head - 1 - c->n;
	const ssize_t n = recv(c->fd, c->left >= 0 ? c->head : c->head + c->n, room, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_lost(l, c);
		return;
	}
	if (c->left >= 0) {
		c->left -= n;
	} else {
		c->n += (size_t)n;
		read_head(c);
	}
	if (c->left == 0 && c->busy)
		client_done(l, c, !c->bad);
}

static struct client *idle_client(struct load *l)
{
	static unsigned last;

	for (unsigned i = 0; i < l->n; i++) {
		struct client *c = &l->clients[last = (last + 1) % l->n];

		if (!c->busy)
			return c;
	}
	return NULL;
}

static void start_waiting(struct load *l)
{
	struct client *c;

	while (l->n_waiting > 0 && (c = idle_client(l)) != NULL) {
		const uint64_t since = l->waiting[l->first % WAITING_MAX];

		l->first++;
		l->n_waiting--;
		(void)ask(l, c, since);
	}
}

static void come(struct load *l, uint64_t at)
{
	if (l->n_waiting == WAITING_MAX)
		l->failed++;
	else
		l->waiting[(l->first + l->n_waiting++) % WAITING_MAX] = at;
}

static int by_time(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static unsigned at_share(const struct load *l, double share)
{
	return l->ok > 0 ? l->times_us[MIN((size_t)((double)l->ok * share), l->ok - 1)] : 0;
}

static void run_load(struct load *l, double rate, double seconds)
{
	const uint64_t began = clock_mono_ns(), ends = began + (uint64_t)(seconds * 1e9);
	struct epoll_event events[EVENTS];
	uint64_t next = began;

	for (uint64_t now = began; now < ends; now = clock_mono_ns()) {
		int ready;

		for (; next <= now; next += (uint64_t)(-log(draw()) / rate * 1e9))
			come(l, next);
		start_waiting(l);
		ready = epoll_wait(ep, events, EVENTS, timeout_until(MIN(next, ends)) > 1 ? 1 : 0);
		for (int i = 0; i < ready; i++)
			on_answer(l, events[i].data.ptr);
	}
}

static int load(char **argv)
{
	struct load l = { .n = (unsigned)strtoul(argv[2], NULL, 10),
		.to = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = htons((uint16_t)strtoul(argv[0], NULL, 10)) } };
	const double rate = strtod(argv[3], NULL), seconds = strtod(argv[4], NULL);

	l.request_n =
		(size_t)snprintf(l.request, sizeof l.request, "GET /128 HTTP/1.1\r\nHost: %.200s\r\n\r\n", argv[1]);
	l.cap = (size_t)(rate * seconds * 2) + 1000;
	l.clients = calloc(l.n, sizeof *l.clients);
	l.waiting = calloc(WAITING_MAX, sizeof *l.waiting);
	l.times_us = calloc(l.cap, sizeof *l.times_us);
	if (l.clients == NULL || l.waiting == NULL || l.times_us == NULL)
		die("memory");
	for (unsigned i = 0; i < l.n; i++)
		client_open(&l, &l.clients[i]);
	run_load(&l, rate, seconds);
	qsort(l.times_us, l.ok, sizeof *l.times_us, by_time);
	printf("ok=%zu failed=%zu p50_us=%u p99_us=%u p999_us=%u\n", l.ok, l.failed, at_share(&l, 0.5),
		at_share(&l, 0.99), at_share(&l, 0.999));
	free(l.clients);
	free(l.waiting);
	free(l.times_us);
	return 0;
}

int main(int argc, char **argv)
{
	ep = epoll_create1(EPOLL_CLOEXEC);
	raise_limit();
	if (argc >= 3 && strcmp(argv[1], "serve") == 0)
		serve(argc - 2, argv + 2);
	if (argc == 7 && strcmp(argv[1], "load") == 0)
		return load(argv + 2);
	fprintf(stderr, "benchhttp serve PORT[,SERVICE_US,PLACES[,STALL_MS,EVERY_MS]]... | load PORT HOST CONNECTIONS "
			"RATE SECONDS\n");
	return 2;
}
