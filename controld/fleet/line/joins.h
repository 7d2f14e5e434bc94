/*
 * joins - certificates for relays: a join token and a request become a node's first one, a request over the line of a
 * node its next one.
 *
 * A request is a handle of the caller's; it leaves by `answer`, exactly once. Before a join is answered, `settled` lets
 * the caller read the change log, so that the new certificate is known when the relay comes with it.
 *
 * Owner:  fleet. Thread: the fleet thread; the work is done on the worker.
 * Ends:   nothing is left when the worker has ended and the mailbox is drained.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_JOINS_H
#define PORTWAY_CONTROLD_FLEET_LINE_JOINS_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct joins;
struct mailbox;
struct pool;
struct roster;
struct store;

struct joins_ops {
	void (*settled)(void *owner);
	void (*answer)(void *owner, void *request, const struct buf *message);
};

struct joins_conf {
	struct store *store;
	struct pool *worker;
	struct mailbox *mailbox;
	struct roster *roster;
	unsigned cert_days;
	const struct joins_ops *ops;
	void *owner;
};

int joins_new(struct joins **out, const struct joins_conf *c, struct err *e) MUST_CHECK;
void joins_free(struct joins *j);
/* A MSG_JOIN of a stranger. -1: it is none, and the request is still the caller's. */
int joins_join(struct joins *j, const void *p, size_t n, void *request) MUST_CHECK;
/* A MSG_RENEW of this node, which came with the certificate of that serial number. */
int joins_renew(
	struct joins *j, const char *node, const char *serial, const void *p, size_t n, void *request) MUST_CHECK;

struct joins_stats {
	uint64_t joined, renewed, refused;
	uint64_t too_many; /* of the refused: the node has the most certificates that one may have */
};
void joins_stats(const struct joins *j, struct joins_stats *out);

#endif
