/*
 * lab_sockets - plain sockets of a test's clients and targets, on loopback. What is not as wanted fails the test; every wait has a
 * limit of LAB_WAIT_MS.
 */
#ifndef PORTWAY_TESTS_RELAYD_LAB_SOCKETS_H
#define PORTWAY_TESTS_RELAYD_LAB_SOCKETS_H

#include "common/base/rand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define LAB_WAIT_MS 20000

static inline struct sockaddr_in lab_addr(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static inline int lab_socket(int type)
{
	struct timeval limit = { .tv_sec = LAB_WAIT_MS / 1000 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return fd;
}

static inline uint16_t lab_port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

/* A bound socket on a port of the kernel's choice; SOCK_STREAM listens. */
static inline int lab_bound(int type, uint16_t *port)
{
	struct sockaddr_in a = lab_addr(0);
	int fd = lab_socket(type);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 512), 0);
	*port = lab_port_of(fd);
	return fd;
}

/* A port that is free now, and not one that the kernel gives to clients. */
static inline uint16_t lab_free_port(int type)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		uint16_t port = (uint16_t)(11000 + rand_below(20000));
		struct sockaddr_in a = lab_addr(port);
		int fd = lab_socket(type), rc = bind(fd, (struct sockaddr *)&a, sizeof a);

		close(fd);
		if (rc == 0)
			return port;
	}
	fail_msg("no port is free");
	return 0;
}

static inline int lab_connect(int type, uint16_t port)
{
	struct sockaddr_in a = lab_addr(port);
	int fd = lab_socket(type);

	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
		fail_msg("connect to port %u: %s", (unsigned)port, strerror(errno));
	return fd;
}

static inline int lab_accept(int listener)
{
	struct timeval limit = { .tv_sec = LAB_WAIT_MS / 1000 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		fail_msg("accept: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return fd;
}

static inline void lab_send(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t k = send(fd, at, n, MSG_NOSIGNAL);

		if (k <= 0)
			fail_msg("send: %s", strerror(errno));
		at += k;
		n -= (size_t)k;
	}
}

static inline void lab_expect(int fd, const void *want, size_t n)
{
	char *got = malloc(n);
	ssize_t k = recv(fd, got, n, MSG_WAITALL);

	if (k != (ssize_t)n)
		fail_msg("recv: %zd of %zu bytes (%s)", k, n, k < 0 ? strerror(errno) : "ended");
	assert_memory_equal(got, want, n);
	free(got);
}

/* Nothing but the end of the stream. */
static inline void lab_expect_end(int fd)
{
	char c;
	ssize_t k = recv(fd, &c, 1, 0);

	if (k != 0)
		fail_msg("wanted the end of the stream: %s", k > 0 ? "a byte came" : strerror(errno));
}

static inline void lab_expect_reset(int fd)
{
	char c;
	ssize_t k = recv(fd, &c, 1, 0);

	if (k >= 0 || errno != ECONNRESET)
		fail_msg("wanted a reset: %s", k > 0 ? "a byte came" : k == 0 ? "the stream ended" : strerror(errno));
}

/* A connection that is reset at once: when the test is slow, before its connect() has returned. */
static inline void lab_expect_refused(uint16_t port)
{
	struct sockaddr_in a = lab_addr(port);
	int fd = lab_socket(SOCK_STREAM);

	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		lab_expect_reset(fd);
	else if (errno != ECONNRESET)
		fail_msg("connect to port %u: %s", (unsigned)port, strerror(errno));
	close(fd);
}

static inline void lab_reset(int fd)
{
	struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(fd);
}

#endif
