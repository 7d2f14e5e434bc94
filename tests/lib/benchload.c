/*
 * benchload - the load of the benchmarks (tests/bench): one thread, loopback only, one kind of work a run.
 *
 *	benchload bulk -p PORT -n STREAMS [-u]           bytes as fast as they go: download, with -u upload
 *	benchload exchange -p PORT -n CONNS -s BYTES     ask and wait for the echo, on every connection
 *	benchload connect -p PORT -n CONNS               each exchange on a connection of its own, which the backend closes
 *	benchload paced -p PORT -n CONNS -s BYTES -r N   N exchanges a second in all, on time whatever the answers take
 *	benchload idle -p PORT -n CONNS                  connections that do nothing; a line on stdin is the next step
 *	benchload udp -p PORT -n FLOWS -w WINDOW -s BYTES
 *
 * PORT is one, or several with commas between, for connections in turn. Prints "start" when the warm-up (-W 0.25 seconds) is
 * over, after -d seconds "stop" and one line of name=value. The backend is benchserve.
 */
#define _GNU_SOURCE
#include "common/base/clock.h"
#include "common/base/macros.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX     65536
#define PORTS_MAX   64
#define CHUNK       (128 * 1024)
#define TAKE        (1024 * 1024) /* discarded in the kernel: MSG_TRUNC */
#define ANSWER      128
#define BATCH       64
#define DATAGRAM    2048
#define EVENTS      256
#define STALL_NS    UINT64_C(50000000) /* a window of datagrams that is silent for so long is filled anew */
#define LAST_MS     200
#define SAMPLES_MAX (4u << 20)
#define OPENING_MS  5000

struct options {
	uint16_t ports[PORTS_MAX]; /* connections take them in turn */
	unsigned n_ports, turn;
	int n, size, window, rate;
	bool upload;
	double seconds, warm_s;
};

/* Of one connection or flow, by descriptor. */
struct peer {
	uint64_t since_ns; /* the exchange under way */
	int got;           /* bytes of its answer; -1: it connects */
	int out;           /* datagrams under way */
};

static struct options opt = { .n_ports = 1, .n = 1, .size = 64, .window = 16, .seconds = 2, .warm_s = 0.25 };
static struct peer peers[FDS_MAX];
static char bytes[TAKE];

/* ---- small things ------------------------------------------------------------------------------------------------ */

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "benchload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

static int new_socket(int type)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || fd >= FDS_MAX)
		die("socket");
	if (type == SOCK_STREAM) {
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	} else {
		set(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20);
		set(fd, SOL_SOCKET, SO_SNDBUF, 4 << 20);
	}
	peers[fd] = (struct peer){ .got = 0 };
	return fd;
}

static int dial(int type)
{
	struct sockaddr_in a = loopback(opt.ports[opt.turn++ % opt.n_ports]);
	int fd = new_socket(type);

	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS)
		die("connect");
	return fd;
}

static void wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	poll(&p, 1, ms);
}

/* Connected, and the backend knows what it is for. */
static int dial_mode(char mode)
{
	int fd = dial(SOCK_STREAM);

	wait_for(fd, POLLOUT, OPENING_MS);
	if (send(fd, &mode, 1, MSG_NOSIGNAL) != 1)
		die("send");
	return fd;
}

static void watch(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, op, fd, &e) != 0)
		die("epoll_ctl");
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

/* ---- the time of a run, and what was seen in it ---------------------------------------------------------------------- */

struct run {
	uint64_t began_ns, start_ns, end_ns; /* start 0: still warming up */
	uint64_t ops, bytes, lost;
	uint64_t sent, came; /* datagrams, those of the warm-up, too */
	double seconds;      /* that it took; 0: it goes on */
	uint32_t *ns;        /* of each exchange */
	size_t n_samples;
};

static void run_begin(struct run *r)
{
	*r = (struct run){ .began_ns = clock_mono_ns() };
	r->ns = malloc(SAMPLES_MAX * sizeof *r->ns);
	if (r->ns == NULL)
		die("memory");
}

/* False when the time is over. */
static bool run_goes_on(struct run *r, uint64_t now)
{
	if (r->start_ns == 0 && now - r->began_ns > (uint64_t)(opt.warm_s * 1e9)) {
		say("start");
		r->start_ns = clock_mono_ns();
		r->end_ns = r->start_ns + (uint64_t)(opt.seconds * 1e9);
		r->ops = r->bytes = r->lost = r->n_samples = 0;
	}
	return r->start_ns == 0 || now < r->end_ns;
}

static void run_note(struct run *r, uint64_t ns)
{
	r->ops++;
	if (r->n_samples < SAMPLES_MAX)
		r->ns[r->n_samples++] = (uint32_t)MIN(ns, UINT32_MAX);
}

static int by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double quantile_us(const struct run *r, double q)
{
	return r->n_samples > 0 ? r->ns[(size_t)((double)(r->n_samples - 1) * q)] / 1e3 : 0;
}

static void run_stop(struct run *r)
{
	r->seconds = (double)(clock_mono_ns() - r->start_ns) / 1e9;
	say("stop");
}

static void run_end(struct run *r)
{
	if (r->seconds <= 0)
		run_stop(r);
	qsort(r->ns, r->n_samples, sizeof *r->ns, by_value);
	printf("seconds=%.4f ops=%llu bytes=%llu lost=%llu p50_us=%.1f p99_us=%.1f\n", r->seconds,
		(unsigned long long)r->ops, (unsigned long long)r->bytes, (unsigned long long)r->lost,
		quantile_us(r, 0.5), quantile_us(r, 0.99));
	free(r->ns);
}

/* ---- bulk ---------------------------------------------------------------------------------------------------------- */

static void bulk(void)
{
	int ep = epoll_create1(0);
	struct run r;

	for (int i = 0; i < opt.n; i++)
		watch(ep, EPOLL_CTL_ADD, dial_mode(opt.upload ? 'u' : 'd'), opt.upload ? EPOLLOUT : EPOLLIN);
	run_begin(&r);
	while (run_goes_on(&r, clock_mono_ns())) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(ep, events, EVENTS, 50);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t k = opt.upload ? send(fd, bytes, CHUNK, MSG_NOSIGNAL) : recv(fd, NULL, TAKE, MSG_TRUNC);

			if (k == 0 || (k < 0 && errno != EAGAIN))
				die("a stream ended");
			r.bytes += k > 0 ? (uint64_t)k : 0;
		}
	}
	run_end(&r);
}

/* ---- exchanges ----------------------------------------------------------------------------------------------------- */

static void ask(int fd, uint64_t since_ns)
{
	peers[fd].got = 0;
	peers[fd].since_ns = since_ns;
	if (send(fd, bytes, (size_t)opt.size, MSG_NOSIGNAL) != opt.size)
		die("send");
}

/* True when the answer is whole. */
static bool take_answer(int fd)
{
	ssize_t k = recv(fd, bytes, CHUNK, 0);

	if (k == 0 || (k < 0 && errno != EAGAIN))
		die("a connection ended");
	peers[fd].got += k > 0 ? (int)k : 0;
	return peers[fd].got >= opt.size;
}

static void exchange(void)
{
	int ep = epoll_create1(0);
	struct run r;

	for (int i = 0; i < opt.n; i++) {
		int fd = dial_mode('e');

		watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN);
		ask(fd, clock_mono_ns());
	}
	run_begin(&r);
	while (run_goes_on(&r, clock_mono_ns())) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(ep, events, EVENTS, 50);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			uint64_t now;

			if (!take_answer(fd))
				continue;
			now = clock_mono_ns();
			run_note(&r, now - peers[fd].since_ns);
			ask(fd, now);
		}
	}
	run_end(&r);
}

/* The time counts from when an exchange was due: a late answer does not make its successors look fast. */
static void paced(void)
{
	int ep = epoll_create1(0), *fds = calloc((size_t)opt.n, sizeof *fds);
	uint64_t step = UINT64_C(1000000000) / (uint64_t)opt.rate, due;
	unsigned turn = 0;
	struct run r;

	for (int i = 0; fds != NULL && i < opt.n; i++)
		watch(ep, EPOLL_CTL_ADD, fds[i] = dial_mode('e'), EPOLLIN);
	if (fds == NULL)
		die("memory");
	run_begin(&r);
	due = r.began_ns;
	while (run_goes_on(&r, clock_mono_ns())) {
		struct epoll_event events[EVENTS];
		uint64_t now = clock_mono_ns();
		int n;

		for (; due <= now; due += step, turn++) {
			int fd = fds[turn % (unsigned)opt.n];

			if (peers[fd].since_ns == 0)
				ask(fd, due);
			else
				r.lost++; /* the one before it is not answered yet */
		}
		n = epoll_wait(ep, events, EVENTS, 1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (!take_answer(fd))
				continue;
			run_note(&r, clock_mono_ns() - peers[fd].since_ns);
			peers[fd].since_ns = 0;
		}
	}
	run_end(&r);
	free(fds);
}

static void open_anew(int ep)
{
	int fd = dial(SOCK_STREAM);

	peers[fd].got = -1;
	peers[fd].since_ns = clock_mono_ns();
	watch(ep, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

/* True when this connection has come to its end. */
static bool connect_step(struct run *r, int ep, int fd)
{
	struct peer *p = &peers[fd];
	ssize_t k;

	if (p->got < 0) {
		p->got = 0;
		if (send(fd, "q", 1, MSG_NOSIGNAL) == 1) {
			watch(ep, EPOLL_CTL_MOD, fd, EPOLLIN);
			return false;
		}
	} else {
		k = recv(fd, bytes, CHUNK, 0);
		if (k > 0 || (k < 0 && errno == EAGAIN)) {
			p->got += k > 0 ? (int)k : 0;
			return false;
		}
	}
	if (p->got == ANSWER)
		run_note(r, clock_mono_ns() - p->since_ns);
	else
		r->lost++;
	return true;
}

static void connects(void)
{
	int ep = epoll_create1(0);
	struct run r;

	for (int i = 0; i < opt.n; i++)
		open_anew(ep);
	run_begin(&r);
	while (run_goes_on(&r, clock_mono_ns())) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(ep, events, EVENTS, 50);

		for (int i = 0; i < n; i++) {
			if (!connect_step(&r, ep, events[i].data.fd))
				continue;
			close(events[i].data.fd);
			open_anew(ep);
		}
	}
	run_end(&r);
}

/* ---- idle ---------------------------------------------------------------------------------------------------------- */

static void next_step(const char *done)
{
	char line[16];

	say(done);
	if (fgets(line, sizeof line, stdin) == NULL)
		exit(1);
}

static void idle(void)
{
	int *fds = calloc((size_t)opt.n, sizeof *fds), whole = 0;

	if (fds == NULL)
		die("memory");
	for (int i = 0; i < opt.n; i++) {
		fds[i] = dial(SOCK_STREAM);
		if (i % 50 == 49) /* no queue of connections runs over */
			wait_for(fds[i], POLLOUT, OPENING_MS);
	}
	next_step("open");
	bytes[0] = 'e';
	for (int i = 0; i < opt.n; i++) {
		if (send(fds[i], bytes, 1025, MSG_NOSIGNAL) != 1025)
			continue;
		for (int got = 0; got < 1024;) {
			ssize_t k;

			wait_for(fds[i], POLLIN, OPENING_MS);
			if ((k = recv(fds[i], bytes + 2048, 1024, 0)) <= 0)
				break;
			got += (int)k;
			whole += got >= 1024;
		}
	}
	next_step("echoed");
	printf("ops=%d lost=%d\n", whole, opt.n - whole);
	free(fds);
}

/* ---- datagrams ----------------------------------------------------------------------------------------------------- */

static struct mmsghdr msgs[BATCH];
static struct iovec vecs[BATCH];
static char datagrams[BATCH][DATAGRAM];

static void prepare(size_t size)
{
	for (unsigned i = 0; i < BATCH; i++) {
		vecs[i] = (struct iovec){ datagrams[i], size };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &vecs[i], .msg_iovlen = 1 };
	}
}

static void send_datagrams(struct run *r, int fd, int n)
{
	prepare((size_t)opt.size);
	while (n > 0) {
		int k = sendmmsg(fd, msgs, (unsigned)MIN(n, BATCH), 0);

		if (k <= 0)
			return;
		n -= k;
		r->sent += (uint64_t)k;
	}
}

static void fill_window(struct run *r, int fd, uint64_t now)
{
	send_datagrams(r, fd, opt.window - peers[fd].out);
	peers[fd].out = opt.window;
	peers[fd].since_ns = now;
}

static void take_datagrams(struct run *r, int fd)
{
	struct peer *p = &peers[fd];
	uint64_t now;
	int n;

	prepare(DATAGRAM);
	n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return;
	now = clock_mono_ns();
	r->came += (uint64_t)n;
	if (r->seconds > 0) /* it is over: nothing follows */
		return;
	if (opt.window == 1)
		run_note(r, now - p->since_ns);
	else
		r->ops += (uint64_t)n;
	p->out -= n;
	p->since_ns = now;
	if (p->out <= opt.window / 2) /* in trains, as real senders do */
		fill_window(r, fd, now);
}

/* Who waits for what never comes would wait for ever. */
static void fill_silent_windows(struct run *r, const int *fds, uint64_t now)
{
	for (int i = 0; i < opt.n; i++) {
		struct peer *p = &peers[fds[i]];

		if (p->since_ns > now || now - p->since_ns < STALL_NS) /* it was served in this very round */
			continue;
		p->out = 0;
		fill_window(r, fds[i], now);
	}
}

/* What is under way when the time is over has a while to come: what was sent and is not there then is lost, nothing else. */
static void take_the_last(struct run *r, int ep)
{
	struct epoll_event events[EVENTS];
	int n;

	while (r->came < r->sent && (n = epoll_wait(ep, events, EVENTS, LAST_MS)) > 0)
		for (int i = 0; i < n; i++)
			take_datagrams(r, events[i].data.fd);
	r->lost = r->sent - MIN(r->came, r->sent);
}

static void udp(void)
{
	int ep = epoll_create1(0), *fds = calloc((size_t)opt.n, sizeof *fds);
	uint64_t looked;
	struct run r;

	if (fds == NULL)
		die("memory");
	run_begin(&r);
	for (int i = 0; i < opt.n; i++) {
		watch(ep, EPOLL_CTL_ADD, fds[i] = dial(SOCK_DGRAM), EPOLLIN);
		fill_window(&r, fds[i], clock_mono_ns());
	}
	looked = r.began_ns;
	while (run_goes_on(&r, clock_mono_ns())) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(ep, events, EVENTS, 20);
		uint64_t now = clock_mono_ns();

		for (int i = 0; i < n; i++)
			take_datagrams(&r, events[i].data.fd);
		if (now - looked < STALL_NS / 2)
			continue;
		looked = now;
		fill_silent_windows(&r, fds, now);
	}
	run_stop(&r);
	take_the_last(&r, ep);
	run_end(&r);
	free(fds);
}

/* ---- the command line ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "bulk", bulk },
	{ "connect", connects },
	{ "exchange", exchange },
	{ "idle", idle },
	{ "paced", paced },
	{ "udp", udp },
};

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static void ports(const char *text)
{
	char *end;

	for (opt.n_ports = 0; opt.n_ports < PORTS_MAX; text = end + 1) {
		opt.ports[opt.n_ports++] = (uint16_t)strtol(text, &end, 10);
		if (*end != ',')
			break;
	}
}

static void parse(int argc, char **argv)
{
	int c;

	optind = 2;
	while ((c = getopt(argc, argv, "p:n:s:w:W:r:d:u")) != -1) {
		switch (c) {
		case 'p':
			ports(optarg);
			break;
		case 'n':
			opt.n = number(optarg);
			break;
		case 's':
			opt.size = number(optarg);
			break;
		case 'w':
			opt.window = number(optarg);
			break;
		case 'W':
			opt.warm_s = strtod(optarg, NULL);
			break;
		case 'r':
			opt.rate = number(optarg);
			break;
		case 'd':
			opt.seconds = strtod(optarg, NULL);
			break;
		case 'u':
			opt.upload = true;
			break;
		default:
			exit(2);
		}
	}
	if (opt.n < 1 || opt.n > 30000 || opt.size < 1 || opt.size > 1472 || opt.window < 1 || opt.rate < 0) {
		fprintf(stderr, "benchload: 1 to 30000 connections, 1 to 1472 bytes\n");
		exit(2);
	}
	opt.rate = MAX(opt.rate, 1);
}

int main(int argc, char **argv)
{
	struct rlimit fds;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &fds);
	fds.rlim_cur = fds.rlim_max;
	setrlimit(RLIMIT_NOFILE, &fds);
	for (size_t i = 0; argc > 2 && i < ARRAY_LEN(kinds); i++) {
		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		parse(argc, argv);
		kinds[i].run();
		return 0;
	}
	fprintf(stderr, "benchload: one of bulk connect exchange idle paced udp with -p PORT\n");
	return 2;
}
