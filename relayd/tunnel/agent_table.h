/*
 * agent_table - the agents on one worker: which clients there are, their links here, and who waits for one.
 *
 * Every agent has a link on every worker, so that a connection is served by one thread from end to end.
 *
 * Owner: the agents service. Thread: the worker's; the control thread inside workers_call().
 */
#ifndef PORTWAY_RELAYD_TUNNEL_AGENT_TABLE_H
#define PORTWAY_RELAYD_TUNNEL_AGENT_TABLE_H

#include "common/base/map.h"
#include "common/net/bucket.h"
#include "common/tunnel/tunnel_link.h"
#include "relayd/conf/object.h"
#include "relayd/tunnel/agents.h"
#include "relayd/tunnel/reserve.h"

struct agent_door;
struct agent_link;
struct friends;
struct registry;
struct snapshot;
struct tls_ctx;

/* One client on this worker. */
struct seat {
	char id[PROTO_ID_SIZE];
	const struct object *object; /* a reference; NULL: not in the configuration (any more) */
	struct list links;           /* that take streams */
	struct reserve reserve;      /* those that take one at a time */
	struct list waiting;         /* tasks, for a link */
	struct list watches;         /* mappings whose targets are checked (watch.h) */
	struct list doors;           /* struct visit_door: mappings that lead from the client's machine */
	uint64_t left_ns;            /* when the last link went; or when the seat was made */
};

struct agent_table {
	struct worker *worker;
	struct agent_table *all; /* of all workers, by index */
	unsigned n_all;
	struct registry *registry;
	const struct agents_conf *conf;
	const struct allow *proxies; /* the service's; NULL: none */
	char node[PROTO_ID_SIZE];
	struct tls_ctx *tls; /* NULL: not a member of the fleet yet */
	struct tunnel_desk desk;
	struct map seats;    /* by client id */
	struct map doors;    /* struct visit_door by mapping id */
	struct list links;   /* struct agent_link, in any state */
	unsigned n_greeting; /* of those that came in here: nobody has said yet who he is */
	struct timer sweep;
	struct agent_door *door; /* NULL: not accepting */
	struct agent_counts counts;
	struct bucket notes;     /* lines of the log */
	struct friends *friends; /* whose agents came in lately */
	uv_async_t *news;        /* the control thread is told that something about agents changed */
	bool quiet;              /* a successor, or the end: no agents any more */
};

int agent_table_init(
	struct agent_table *t, struct worker *w, struct registry *r, const struct agents_conf *conf) MUST_CHECK;
void agent_table_fini(struct agent_table *t);
/* Clients that differ between the two; links that may not go on are ended. */
void agent_table_apply(struct agent_table *t, const struct snapshot *old, const struct snapshot *new_);
/* Cuts the links of earlier epochs of this instance. */
void agent_table_cut_before(struct agent_table *t, const struct frame_hello *h);
/* Tells every agent that this relay is going, and lets go of them once their streams have ended. */
void agent_table_go_away(struct agent_table *t, uint32_t within_ms);
void agent_table_close(struct agent_table *t);

/* agents_find() and agents_tell() on this worker (agent_pick.c). */
enum agents_answer agent_table_find(struct agent_table *t, const struct agents_ask *ask, struct agents_found *out);
void agent_table_tell(struct agent_table *t, const struct agents_ask *ask, bool reached);
struct seat *agent_table_seat(const struct agent_table *t, const char *client);
/* Made if there is none; NULL: out of memory. */
struct seat *agent_table_seat_for(struct agent_table *t, const char *client);
void agent_table_news(const struct agent_table *t);
/* A link came: who waited may go on. */
void seat_add(struct agent_table *t, struct seat *s, struct list *link);
void seat_remove(struct agent_table *t, struct seat *s, struct list *link);

/* Whether one more link's coming or going is told: an agent that comes and goes all the time does not fill the disk. */
bool agent_table_may_tell(struct agent_table *t);

static inline void agent_count(uint64_t *n)
{
	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

#endif
