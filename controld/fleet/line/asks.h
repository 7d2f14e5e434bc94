/*
 * asks - what was asked of relays and is not answered yet: list connections, cut one, renew the certificate.
 *
 * An ask goes out with the next update of each node it is for, is given again every ASKS_AGAIN_MS until that node has
 * answered, and ends when all have or its deadline passed. Then `finished` is told, once; the answers stay to be read
 * until asks_forget() or ASKS_KEEP_MS later.
 *
 * An ask for nodes that are at other controlds is told to all of them, which give it to those of its nodes that poll
 * them and tell the answers back. Such a foreign ask is never read there.
 *
 * Owner:  fleet. Thread: any (one lock inside); `finished` is called without the lock.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_ASKS_H
#define PORTWAY_CONTROLD_FLEET_LINE_ASKS_H

#include "common/base/macros.h"
#include "controld/tunnels/relays.h"
#include "proto/answer.h"
#include "proto/ask.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asks;
struct err;

#define ASKS_OPEN_MAX    256 /* at once, read or not */
#define ASKS_FOREIGN_MAX 1024
#define ASKS_AGAIN_MS    2000  /* an ask that a node got is given again after this */
#define ASKS_DEADLINE_MS 5000  /* the nodes have this long */
#define ASKS_KEEP_MS     60000 /* nobody reads later than this */

typedef void (*asks_finished_fn)(uint64_t ask, void *arg);
int asks_new(struct asks **out, asks_finished_fn finished, void *arg, struct err *e) MUST_CHECK;
void asks_free(struct asks *a);

struct asks_node {
	char id[PROTO_ID_SIZE];
	char name[PROTO_NAME_SIZE];
};
/* what->id is ignored; for no node at all the ask is finished at once. */
int asks_open(struct asks *a, const struct ask *what, const struct asks_node *nodes, size_t n, uint64_t now_ms,
	uint64_t *id, struct err *e) MUST_CHECK;
int asks_result(struct asks *a, uint64_t id, struct relay_answers *out, struct err *e) MUST_CHECK;
void asks_forget(struct asks *a, uint64_t id);

/* What to give this node now; counts as given. Number of asks, at most ASKS_MAX. */
uint32_t asks_take(struct asks *a, const char *node, uint64_t now_ms, struct ask out[ASKS_MAX]);
/* Whether asks_take() would give this node something. */
bool asks_has(struct asks *a, const char *node, uint64_t now_ms);
/* Calls fn for each node that asks_take() would give something. */
void asks_due(struct asks *a, uint64_t now_ms, void (*fn)(const char *node, void *arg), void *arg);
/* True when it is the answer to another controld's ask, and the first of this node. */
bool asks_answer(struct asks *a, const char *node, const struct msg_answer *m);
/* The node asks for a new certificate, which is the answer to every ASK_RENEW. */
void asks_renewing(struct asks *a, const char *node);
/* One that another controld got and told. */
void asks_answer_told(struct asks *a, const char *node, const struct msg_answer *m);

/* Calls fn, without the lock, for each own ask that is to be told to the others now: it was not, or that is long ago. */
typedef void (*asks_tell_fn)(const struct ask *what, const struct asks_node *nodes, size_t n, void *arg);
void asks_tell(struct asks *a, uint64_t now_ms, asks_tell_fn fn, void *arg);
/* What another controld has told; again is fine. */
void asks_foreign(struct asks *a, const struct ask *what, const struct asks_node *nodes, size_t n, uint64_t now_ms);
/* The node went offline: nobody waits for it any more. */
void asks_node_lost(struct asks *a, const char *node);
/* Ends what is late. Answers when to call again (monotonic ms). */
uint64_t asks_tick(struct asks *a, uint64_t now_ms);

#endif
