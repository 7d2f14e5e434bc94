/*
 * tls_pair - two TLS sessions over two byte queues, for tests.
 */
#ifndef PORTWAY_TESTS_TLS_PAIR_H
#define PORTWAY_TESTS_TLS_PAIR_H

#include "common/crypto/tls.h"

#include <stdlib.h>
#include <string.h>

struct tls_lane {
	uint8_t data[1 << 16];
	size_t n;
	bool closed;
};

struct tls_side {
	struct tls_lane *in, *out;
	struct tls_session *session;
};

struct tls_pair {
	struct tls_lane up, down;
	struct tls_side client, server;
};

static inline ssize_t tls_pair_on_send(void *arg, const void *p, size_t n)
{
	struct tls_lane *l = ((struct tls_side *)arg)->out;
	size_t fits = MIN(n, sizeof l->data - l->n);

	if (fits == 0)
		return TLS_AGAIN;
	memcpy(l->data + l->n, p, fits);
	l->n += fits;
	return (ssize_t)fits;
}

static inline ssize_t tls_pair_on_recv(void *arg, void *p, size_t n)
{
	struct tls_lane *l = ((struct tls_side *)arg)->in;
	size_t got = MIN(n, l->n);

	if (got == 0)
		return l->closed ? TLS_CLOSED : TLS_AGAIN;
	memcpy(p, l->data, got);
	memmove(l->data, l->data + got, l->n - got);
	l->n -= got;
	return (ssize_t)got;
}

static inline struct tls_io tls_pair_io(struct tls_side *s)
{
	return (struct tls_io){ tls_pair_on_send, tls_pair_on_recv, s };
}

/* Without sessions yet. */
static inline struct tls_pair *tls_pair_new(void)
{
	struct tls_pair *p = calloc(1, sizeof *p);

	if (p == NULL)
		abort();
	p->client.in = p->server.out = &p->down;
	p->client.out = p->server.in = &p->up;
	return p;
}

static inline void tls_pair_free(struct tls_pair *p)
{
	tls_session_free(p->client.session);
	tls_session_free(p->server.session);
	free(p);
}

#endif
