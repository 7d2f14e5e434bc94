/*
 * byte_client - says bytes to a server and reads what it says, on a socket that is connected. Nothing waits longer than
 * PATIENCE_MS.
 */
#ifndef PORTWAY_TESTS_CONTROLD_BYTE_CLIENT_H
#define PORTWAY_TESTS_CONTROLD_BYTE_CLIENT_H

#include "common/base/macros.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE_MS 30000 /* of a test; never waited for in full when all is well */

/* Sends in steps; a server that closes meanwhile is no error here. */
static inline void client_send(int fd, const char *bytes, size_t n, size_t step)
{
	for (size_t at = 0; at < n; at += step)
		if (send(fd, bytes + at, MIN(step, n - at), MSG_NOSIGNAL) < 0)
			return;
}

static inline void client_say(int fd, const char *text)
{
	client_send(fd, text, strlen(text), strlen(text));
}

static inline bool client_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, PATIENCE_MS) == 1;
}

/* Reads until the server closes. */
static inline size_t client_read_all(int fd, char *dst, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && client_wait(fd)) {
		const ssize_t got = recv(fd, dst + n, size - 1 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	dst[n] = '\0';
	return n;
}

/* Reads until this text has come. */
static inline bool client_read_until(int fd, char *dst, size_t size, const char *text)
{
	size_t n = 0;

	dst[0] = '\0';
	while (n + 1 < size && client_wait(fd)) {
		const ssize_t got = recv(fd, dst + n, size - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
		dst[n] = '\0';
		if (strstr(dst, text) != NULL)
			return true;
	}
	return false;
}

/* "200 400": the statuses of all answers in order. */
static inline void statuses_of(const char *answers, char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	while ((answers = strstr(answers, "HTTP/1.")) != NULL && n + 5 < size) {
		if (answers[8] == ' ') /* not the name of a protocol in a message */
			n += (size_t)snprintf(dst + n, size - n, "%s%.3s", n > 0 ? " " : "", answers + 9);
		answers += 8;
	}
}

#endif
