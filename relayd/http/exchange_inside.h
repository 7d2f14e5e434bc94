/*
 * exchange_inside - what the parts of an exchange share: exchange.c (states, time, the end), exchange_request.c (the way of the request),
 * exchange_target.c (the backend, and other attempts), exchange_answer.c (what the client is given). For them alone.
 *
 * Owner: an exchange. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_EXCHANGE_INSIDE_H
#define PORTWAY_RELAYD_HTTP_EXCHANGE_INSIDE_H

#include "relayd/http/back.h"
#include "relayd/http/desk.h"
#include "relayd/http/exchange.h"
#include "relayd/http/filter.h"
#include "relayd/http/message.h"
#include "relayd/lb/lb_queue.h"
#include "relayd/site/http_route.h"
#include "relayd/site/pool.h"

struct mirror;

enum asking { ASK_HEAD, ASK_WAIT, ASK_CONTENT, ASK_DONE, ASK_DROPPED };                 /* the request */
enum answering { ANSWER_NONE, ANSWER_CONTENT, ANSWER_RAW, ANSWER_DONE, ANSWER_FAILED }; /* the response */

struct exchange {
	int request, response; /* enum asking, enum answering */
	struct http_desk *desk;
	struct exchange_origin origin;
	struct http_route *route; /* NULL: none took it */
	struct list in_route;
	struct pool *pool;
	struct backend *backend; /* chosen; NULL: none */
	struct back *back;       /* NULL: none under way */
	struct block *head;      /* the request, as it goes to the backend */
	struct mirror *mirror;   /* a copy that is being taken; NULL: none */
	struct lb_waiter waiter;
	struct timer timer;
	struct timer pace; /* armed: content waits for the route's bandwidth */
	struct task grave;
	uint64_t id, began_ns, sent_ns, active_ns, total_due_ns;
	uint64_t queued_ns, waited_ns;   /* since when it waits for a place; how long it did */
	uint64_t started_ns, connect_ns; /* the attempt; until it had a connection, UINT64_MAX: it had none */
	uint64_t bytes_in, bytes_out, backend_us;
	uint64_t sticky_key;
	const char *why; /* of an own answer or an abort; "" */
	uint8_t method;
	uint8_t attempts; /* so far */
	uint8_t n_tried;
	uint8_t trouble;  /* enum http_trouble: why no backend answered it whole */
	uint8_t refusals; /* connections on which it was refused unseen */
	uint16_t status;  /* told to the client; 0: none */
	bool raw;         /* no messages any more */
	bool closed;      /* the client's side has gone */
	bool queued;      /* waits for a place */
	bool placed;      /* has one, at `backend` */
	bool has_content; /* the request has some */
	bool chunked;     /* and its length is not known */
	bool given;       /* some of it went on: the request cannot be sent again */
	bool ended;       /* all of it came */
	bool own;         /* the answer is the relay's own */
	bool upgrade;     /* another protocol was asked for */
	bool sticky;      /* there is a key */
	bool recoded;     /* a filter changes the content */
	bool filtered;    /* filters were asked */
	uint8_t sees;     /* FILTER_SEES_* of them */
	bool races;       /* a connection that was kept ended under it: sent again once */
	bool to_http10;   /* the client does not know of 1xx and chunks */
	bool expects;     /* waits for 100 */
	bool probing;     /* exchange_probe.h: no client, no route; in_route is the desk's list of probes */
	const struct upstream *tried[LB_TRIED_MAX];
	char request_id[MESSAGE_REQUEST_ID];
	/* state of the filters follows */
};

void *exchange_filter_state(struct exchange *x);
/* What is counted of the relay: of requests, not of their copies. */
static inline void exchange_note(const struct exchange *x, enum http_counter c)
{
	if (!x->origin.copy)
		desk_count(x->desk, c);
}
static inline struct worker *exchange_worker(const struct exchange *x)
{
	return x->desk->worker;
}

/* ---- exchange.c ----------------------------------------------------------------------------------------------------- */
void exchange_ask_move(struct exchange *x, enum asking to);
void exchange_answer_move(struct exchange *x, enum answering to);
void exchange_set_timer(struct exchange *x);
const struct pool_conf *exchange_pool_conf(const struct exchange *x); /* as it is now; NULL: the pool is gone */
void exchange_count(const struct exchange *x, enum meter_counter c, uint64_t n); /* of route and backend */

bool exchange_is_held(struct exchange *x, enum http_route_way way); /* content has to wait for the route's bandwidth */
void exchange_spend(struct exchange *x, enum http_route_way way, uint64_t n);

/* ---- exchange_target.c ---------------------------------------------------------------------------------------------- */
void exchange_choose(struct exchange *x); /* a backend, and start */
/* No backend answers it: counted, and answered, or aborted if the answer has begun. */
void exchange_unserved(struct exchange *x, enum http_trouble why);
void exchange_leave_back(struct exchange *x);     /* its back, its place, the queue */
void exchange_done_with_back(struct exchange *x); /* the answer is whole: others may have its back and its place */
bool exchange_is_idempotent(const struct exchange *x);

/* ---- exchange_answer.c ---------------------------------------------------------------------------------------------- */
void exchange_answer_own(struct exchange *x, unsigned status, const char *why);
/* The same with what an edit has put in: status, fields, body. */
void exchange_answer_edit(struct exchange *x, struct edit *e, const char *why);
void exchange_fail(struct exchange *x, const char *why); /* the answer has begun and cannot be finished */
void exchange_drop_request(struct exchange *x);          /* what is missing of it is not wanted any more */
void exchange_answer_head(struct exchange *x, const struct http_head *head);
void exchange_answer_end(struct exchange *x, const struct http_head *trailers); /* may close it: last */

/* For filters: what there is to know of it now. */
struct filter_request exchange_filter_view(struct exchange *x, const struct http_head *head);

#endif
