#include "controld/fleet/line/polls.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/model_snapshot.h"
#include "proto/poll.h"
#include "proto/update.h"

#include <stdbool.h>
#include <stdlib.h>

/* A snapshot of one message up to this size needs no turn: even for every relay at once they take little memory. */
#define SMALL_BYTES (64 * 1024)
#define LATER_MS    1000 /* at most; spread, so that the relays do not come back together */

struct poller {
	char node[PROTO_ID_SIZE];
	char group[PROTO_ID_SIZE];
	uint64_t placed;
	struct proto_revision have;

	struct list parked; /* in polls.parked while there is a request */
	void *request;
	uint64_t deadline_ms;

	struct list waiting; /* in polls.waiting for a turn to fetch */

	struct list fetching; /* in polls.fetching while it fetches pages */
	struct model_snapshot *snapshot;
	uint64_t to;     /* revision of the snapshot */
	uint32_t number; /* of this fetch, in its page tokens */
	uint64_t page_deadline_ms;
};

struct polls {
	struct polls_conf conf;
	struct model *model;
	struct asks *asks;
	struct map pollers; /* by node id */
	struct list parked; /* in order of their deadlines: all wait equally long */
	struct list waiting;
	struct list fetching;
	uint32_t last_number;
	struct buf entries, message; /* reused */
	struct polls_stats stats;
};

int polls_new(struct polls **out, const struct polls_conf *c, struct model *m, struct asks *a, struct err *e)
{
	struct polls *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "polls: out of memory");
	p->conf = *c;
	p->model = m;
	p->asks = a;
	map_init(&p->pollers);
	list_init(&p->parked);
	list_init(&p->waiting);
	list_init(&p->fetching);
	buf_init(&p->entries, PROTO_MSG_MAX);
	buf_init(&p->message, PROTO_MSG_MAX);
	*out = p;
	return 0;
}

/* ---- pollers ----------------------------------------------------------------------------------------------------- */

static void park(struct polls *p, struct poller *q, void *request, uint64_t now_ms)
{
	q->request = request;
	q->deadline_ms = now_ms + p->conf.wait_ms;
	list_push_back(&p->parked, &q->parked);
	p->stats.parked++;
}

static void *unpark(struct polls *p, struct poller *q)
{
	void *request = q->request;

	q->request = NULL;
	list_remove(&q->parked);
	list_remove(&q->waiting);
	p->stats.parked--;
	return request;
}

static void end_fetch(struct polls *p, struct poller *q)
{
	if (q->snapshot == NULL)
		return;
	model_snapshot_unref(q->snapshot);
	q->snapshot = NULL;
	list_remove(&q->fetching);
	p->stats.fetching--;
}

static void poller_free(struct polls *p, struct poller *q)
{
	if (q->request != NULL)
		p->conf.ops->drop(p->conf.owner, unpark(p, q));
	end_fetch(p, q);
	free(q);
}

void polls_free(struct polls *p)
{
	struct poller *q;
	size_t it = 0;

	if (p == NULL)
		return;
	while ((q = map_next(&p->pollers, &it)) != NULL)
		poller_free(p, q);
	map_free(&p->pollers);
	buf_free(&p->entries);
	buf_free(&p->message);
	free(p);
}

static struct poller *poller_get(struct polls *p, const char *node)
{
	struct poller *q = map_get_str(&p->pollers, node);

	if (q != NULL)
		return q;
	q = calloc(1, sizeof *q);
	if (q == NULL)
		return NULL;
	str_copy(q->node, sizeof q->node, node);
	list_init(&q->parked);
	list_init(&q->waiting);
	list_init(&q->fetching);
	if (map_put_str(&p->pollers, q->node, q, NULL) == 0)
		return q;
	free(q);
	return NULL;
}

static void place(struct poller *q, const struct polls_place *where)
{
	if (where->group == NULL)
		return;
	str_copy(q->group, sizeof q->group, where->group);
	q->placed = where->placed;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* Ends the parked request with this update; asks that are due go with it. */
static void answer(
	struct polls *p, struct poller *q, struct msg_update *head, const struct model_delta *entries, uint64_t now_ms)
{
	void *request = unpark(p, q);
	size_t count_at;

	head->n_asks = asks_take(p->asks, q->node, now_ms, head->asks);
	buf_reset(&p->message);
	msg_update_begin(&p->message, head, &count_at);
	buf_put(&p->message, entries->entries, entries->size);
	msg_update_end(&p->message, count_at, entries->n);
	if (p->message.failed) {
		log_error("update_too_long", log_s("node", q->node), log_u("bytes", entries->size));
		p->conf.ops->drop(p->conf.owner, request);
		return;
	}
	p->stats.bytes += p->message.len;
	p->conf.ops->answer(p->conf.owner, request, &p->message);
}

static void answer_delta(struct polls *p, struct poller *q, const struct model_delta *d, uint64_t now_ms)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = q->have, .to = q->have };

	head.to.seq = d->to;
	p->stats.deltas++;
	answer(p, q, &head, d, now_ms);
}

static void answer_plain(struct polls *p, struct poller *q, enum update_kind kind, uint64_t now_ms)
{
	struct msg_update head = { .kind = (uint8_t)kind, .from = q->have, .to = q->have };

	if (kind == UPDATE_LATER) {
		head.retry_ms = (uint32_t)(LATER_MS / 4 + rand_below(LATER_MS * 3 / 4));
		p->stats.laters++;
	} else {
		p->stats.nothings++;
	}
	answer(p, q, &head, &(struct model_delta){ .n = 0 }, now_ms);
}

/* One page from index `at` on; its token names the fetch and the index that follows. */
static void answer_page(struct polls *p, struct poller *q, const struct model_snapshot *s, size_t at, uint64_t now_ms)
{
	struct msg_update head = { .kind = UPDATE_SNAPSHOT, .to = model_revision(p->model) };
	struct model_delta page;
	size_t next;

	buf_reset(&p->entries);
	next = model_snapshot_page(s, q->node, at, MODEL_PAGE_MAX, &p->entries, &page.n);
	page.entries = p->entries.data;
	page.size = p->entries.len;
	head.to.seq = q->to;
	head.next_page = next < s->n ? (uint64_t)q->number << 32 | next : 0;
	p->stats.pages++;
	answer(p, q, &head, &page, now_ms);
}

/* ---- what a parked relay gets ------------------------------------------------------------------------------------ */

static void start_fetch(struct polls *p, struct poller *q, struct model_snapshot *s, uint64_t now_ms)
{
	q->snapshot = model_snapshot_ref(s);
	q->number = ++p->last_number;
	q->page_deadline_ms = now_ms + p->conf.fetch_ms;
	list_push_back(&p->fetching, &q->fetching);
	p->stats.fetching++;
}

/* Its first page, or a place in the queue. */
static void serve_snapshot(struct polls *p, struct poller *q, uint64_t now_ms)
{
	struct model_snapshot *s;
	bool small;

	if (!list_empty(&q->waiting))
		return;
	s = model_snapshot(p->model, q->group);
	if (s == NULL)
		return; /* no memory: it stays parked and is told "nothing" at its deadline */
	small = s->bytes <= SMALL_BYTES;
	if (!small && p->stats.fetching >= p->conf.snapshots_max) {
		list_push_back(&p->waiting, &q->waiting);
	} else {
		q->to = model_revision(p->model).seq;
		if (!small)
			start_fetch(p, q, s, now_ms);
		p->stats.snapshots++;
		answer_page(p, q, s, 0, now_ms);
	}
	model_snapshot_unref(s);
}

static struct model_relay relay_of(const struct poller *q)
{
	return (struct model_relay){ .node = q->node, .group = q->group, .placed = q->placed, .have = q->have };
}

static void serve(struct polls *p, struct poller *q, uint64_t now_ms)
{
	const struct model_relay r = relay_of(q);
	struct model_delta d;

	switch (model_need(p->model, &r)) {
	case MODEL_NOTHING:
		break;
	case MODEL_DELTA:
		if (model_delta(p->model, &r, &d) == 0) {
			answer_delta(p, q, &d, now_ms);
			break;
		}
		serve_snapshot(p, q, now_ms);
		break;
	case MODEL_SNAPSHOT:
		serve_snapshot(p, q, now_ms);
		break;
	}
}

static void serve_waiting(struct polls *p, uint64_t now_ms)
{
	while (p->stats.fetching < p->conf.snapshots_max && !list_empty(&p->waiting)) {
		struct poller *q = CONTAINER_OF(list_first(&p->waiting), struct poller, waiting);

		list_remove(&q->waiting);
		serve(p, q, now_ms);
	}
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static bool asks_for_page(const struct poller *q, uint64_t token)
{
	return q->snapshot != NULL && token >> 32 == q->number && (token & UINT32_MAX) <= q->snapshot->n;
}

void polls_request(
	struct polls *p, const struct polls_place *where, const struct msg_poll *m, void *request, uint64_t now_ms)
{
	struct poller *q = poller_get(p, where->node);

	if (q == NULL) {
		p->conf.ops->drop(p->conf.owner, request);
		return;
	}
	if (q->request != NULL) {
		p->stats.superseded++;
		p->conf.ops->drop(p->conf.owner, unpark(p, q));
	}
	place(q, where);
	q->have = m->have;
	park(p, q, request, now_ms);
	if (asks_for_page(q, m->page_token)) {
		q->page_deadline_ms = now_ms + p->conf.fetch_ms;
		answer_page(p, q, q->snapshot, m->page_token & UINT32_MAX, now_ms);
		return;
	}
	end_fetch(p, q); /* it has all pages, or gave up */
	serve_waiting(p, now_ms);
	if (q->request != NULL)
		polls_wake_node(p, &(struct polls_place){ .node = where->node }, now_ms);
}

bool polls_is_parked(const struct polls *p, const char *node)
{
	const struct poller *q = map_get_str(&p->pollers, node);

	return q != NULL && q->request != NULL;
}

void polls_wake(struct polls *p, uint64_t now_ms)
{
	LIST_FOREACH_SAFE (it, &p->parked)
		serve(p, CONTAINER_OF(it, struct poller, parked), now_ms);
}

void polls_wake_node(struct polls *p, const struct polls_place *where, uint64_t now_ms)
{
	struct poller *q = map_get_str(&p->pollers, where->node);

	if (q == NULL)
		return;
	place(q, where);
	if (q->request != NULL)
		serve(p, q, now_ms);
	if (q->request != NULL && asks_has(p->asks, q->node, now_ms))
		answer_plain(p, q, UPDATE_NOTHING, now_ms);
}

void polls_lost(struct polls *p, const char *node, const void *request, uint64_t now_ms)
{
	struct poller *q = map_get_str(&p->pollers, node);

	if (q == NULL || q->request == NULL || q->request != request)
		return;
	p->conf.ops->drop(p->conf.owner, unpark(p, q));
	end_fetch(p, q);
	serve_waiting(p, now_ms);
}

void polls_forget(struct polls *p, const char *node, uint64_t now_ms)
{
	struct poller *q = map_remove_str(&p->pollers, node);

	if (q == NULL)
		return;
	poller_free(p, q);
	serve_waiting(p, now_ms);
}

/* The wait of a relay is over. */
static void expire(struct polls *p, struct poller *q, uint64_t now_ms)
{
	struct proto_revision newest = model_revision(p->model);
	const struct model_relay r = relay_of(q);

	if (!list_empty(&q->waiting))
		answer_plain(p, q, UPDATE_LATER, now_ms);
	else if (model_need(p->model, &r) == MODEL_NOTHING && newest.seq - q->have.seq > p->conf.behind_max)
		answer_delta(p, q, &(struct model_delta){ .to = newest.seq }, now_ms);
	else
		answer_plain(p, q, UPDATE_NOTHING, now_ms);
}

uint64_t polls_tick(struct polls *p, uint64_t now_ms)
{
	LIST_FOREACH_SAFE (it, &p->fetching) {
		struct poller *q = CONTAINER_OF(it, struct poller, fetching);

		if (now_ms >= q->page_deadline_ms)
			end_fetch(p, q);
	}
	serve_waiting(p, now_ms);
	while (!list_empty(&p->parked)) {
		struct poller *q = CONTAINER_OF(list_first(&p->parked), struct poller, parked);

		if (now_ms < q->deadline_ms)
			return q->deadline_ms;
		expire(p, q, now_ms);
	}
	return UINT64_MAX;
}

void polls_stats(const struct polls *p, struct polls_stats *out)
{
	*out = p->stats;
}
