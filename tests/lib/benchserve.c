/*
 * benchserve - what the relays of the benchmarks (tests/bench) forward to: TCP and UDP on one loopback port.
 *
 *	benchserve PORT        prints "ready"; on SIGUSR1 the bytes that 'u' brought, and the time
 *
 * The first byte of a connection says what it wants: 'd' to be sent bytes, 'u' to have its bytes taken, 'e' the rest
 * back, 'q' 128 bytes and the end. Datagrams go back as they came.
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
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX  65536
#define CHUNK    (128 * 1024)
#define TAKE     (1024 * 1024) /* discarded in the kernel: MSG_TRUNC */
#define ANSWER   128
#define BATCH    64
#define DATAGRAM 2048
#define EVENTS   256

static char modes[FDS_MAX]; /* by descriptor; 0: not said yet */
static char bytes[CHUNK];
static unsigned long long taken;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "benchserve: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

static void watch(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, op, fd, &e) != 0)
		die("epoll_ctl");
}

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno != EAGAIN)
			return;
		if (k < 0)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 100);
		else
			p += k, n -= (size_t)k;
	}
}

/* False: the connection is over. */
static bool serve_download(int fd)
{
	for (int i = 0; i < 4; i++)
		if (send(fd, bytes, CHUNK, MSG_NOSIGNAL) < 0)
			return errno == EAGAIN;
	return true;
}

static bool serve_tcp(int ep, int fd, uint32_t events)
{
	const char *p = bytes;
	ssize_t n;

	if (modes[fd] == 'd' && events & EPOLLOUT)
		return serve_download(fd);
	n = modes[fd] == 'u' ? recv(fd, NULL, TAKE, MSG_TRUNC) : recv(fd, bytes, CHUNK, 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (modes[fd] == 'u')
		taken += (unsigned long long)n;
	if (modes[fd] == '\0') {
		modes[fd] = *p++;
		n--;
		if (modes[fd] == 'd')
			watch(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
	}
	if (modes[fd] == 'q') {
		send_all(fd, bytes, ANSWER);
		return false;
	}
	if (modes[fd] == 'e' && n > 0)
		send_all(fd, p, (size_t)n);
	return true;
}

static struct mmsghdr msgs[BATCH];
static struct iovec vecs[BATCH];
static struct sockaddr_in from[BATCH];
static char datagrams[BATCH][DATAGRAM];

static void prepare(void)
{
	for (unsigned i = 0; i < BATCH; i++) {
		vecs[i] = (struct iovec){ datagrams[i], DATAGRAM };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &vecs[i], .msg_iovlen = 1 };
		msgs[i].msg_hdr.msg_name = &from[i];
		msgs[i].msg_hdr.msg_namelen = sizeof from[i];
	}
}

static void serve_udp(int fd)
{
	for (int round = 0; round < 4; round++) {
		int n, k;

		prepare();
		n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			vecs[i].iov_len = msgs[i].msg_len;
		for (int i = 0; i < n; i += MAX(k, 1))
			k = sendmmsg(fd, msgs + i, (unsigned)(n - i), 0);
		if (n < BATCH)
			return;
	}
}

static void serve_door(int ep, int door)
{
	int fd;

	for (int i = 0; i < BATCH && (fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0; i++) {
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		modes[fd] = '\0';
		watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN);
	}
}

static int asked_by_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK);
}

static void answer_signal(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof info) != sizeof info)
		return;
	printf("taken %llu %llu\n", taken, (unsigned long long)clock_mono_ns());
	fflush(stdout);
}

_Noreturn static void serve(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
	    udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	int ep = epoll_create1(0), signals = asked_by_signal();

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	set(door, SOL_SOCKET, SO_REUSEADDR, 1);
	set(udp, SOL_SOCKET, SO_RCVBUF, 4 << 20);
	set(udp, SOL_SOCKET, SO_SNDBUF, 4 << 20);
	if (bind(door, (struct sockaddr *)&a, sizeof a) != 0 || listen(door, 4096) != 0 ||
		bind(udp, (struct sockaddr *)&a, sizeof a) != 0)
		die("listen");
	watch(ep, EPOLL_CTL_ADD, door, EPOLLIN);
	watch(ep, EPOLL_CTL_ADD, udp, EPOLLIN);
	watch(ep, EPOLL_CTL_ADD, signals, EPOLLIN);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(ep, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == udp)
				serve_udp(fd);
			else if (fd == door)
				serve_door(ep, fd);
			else if (fd == signals)
				answer_signal(fd);
			else if (!serve_tcp(ep, fd, events[i].events))
				close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit fds;

	if (argc != 2) {
		fprintf(stderr, "usage: benchserve PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &fds);
	fds.rlim_cur = fds.rlim_max;
	setrlimit(RLIMIT_NOFILE, &fds);
	serve((uint16_t)strtol(argv[1], NULL, 10));
}
