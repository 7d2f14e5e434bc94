/*
 * test_client - one HTTP request to a server on loopback, for unit tests of controld's rooms.
 *
 *	struct test_client c = { .port = server_port(s) };
 *	status = test_client(&c, "token", "GET", "/api/v1/x", NULL, &answer);
 */
#ifndef PORTWAY_TESTS_TEST_CLIENT_H
#define PORTWAY_TESTS_TEST_CLIENT_H

#include "common/base/macros.h"
#include "common/base/str.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct test_client {
	uint16_t port;
	const char *if_match; /* of the next request, or NULL */
	char headers[4096];   /* of the last answer */
};

/* Reads to the end of the connection; malloc'ed. */
static inline UNUSED char *test_client_exchange(struct test_client *c, const char *request)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(c->port) };
	char *answer = calloc(1, 1 << 20);
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t n = 0;
	ssize_t got;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (answer == NULL || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
		write(fd, request, strlen(request)) < 0)
		abort();
	while ((got = read(fd, answer + n, (1 << 20) - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	return answer;
}

/* Status of the answer; *out (may be NULL) gets its JSON, NULL if it has none. */
static inline UNUSED int test_client(
	struct test_client *c, const char *token, const char *method, const char *path, const char *body, json_t **out)
{
	char request[8192], *answer, *content;
	int status = 0;

	(void)str_fmt(request, sizeof request,
		"%s %s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nConnection: "
		"close\r\n%s%s%s%sContent-Length: %zu"
		"\r\n\r\n%s",
		method, path, token, body != NULL ? "Content-Type: application/json\r\n" : "",
		c->if_match != NULL ? "If-Match: " : "", c->if_match != NULL ? c->if_match : "",
		c->if_match != NULL ? "\r\n" : "", body != NULL ? strlen(body) : 0, body != NULL ? body : "");
	c->if_match = NULL;
	answer = test_client_exchange(c, request);
	content = strstr(answer, "\r\n\r\n");
	if (sscanf(answer, "HTTP/1.1 %d", &status) != 1 || content == NULL)
		abort();
	*content = '\0';
	(void)str_copy(c->headers, sizeof c->headers, answer);
	if (out != NULL)
		*out = json_loads(content + 4, 0, NULL);
	free(answer);
	return status;
}

#endif
