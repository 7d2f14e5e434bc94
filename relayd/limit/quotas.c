#include "relayd/limit/quotas.h"

#include "common/base/map.h"
#include "common/base/str.h"

#include <pthread.h>
#include <stdlib.h>

#define AGAIN_MS 5000 /* an account that is over asks so often whether it still is, */
#define LATER_MS 1000 /* and one that has some left but gets no more */

struct quota {
	struct allowance allowance;
	struct quotas *all;
	char id[PROTO_ID_SIZE];
	uint64_t held; /* granted, without the overdraft */
	uint64_t overdraft;
	uint64_t marked, settled; /* of what was counted: in a report; in one that was acknowledged */
	uint64_t asked_settled;   /* that it said when it asked last */
	uint64_t asked_done;
	uint64_t ask_ms; /* not before */
};

struct quotas {
	pthread_mutex_t lock;
	struct map by_id;
	uint64_t overdraft;
	void (*on_low)(void *arg);
	void *arg;
};

int quotas_new(struct quotas **out, uint64_t overdraft, void (*on_low)(void *arg), void *arg)
{
	struct quotas *qs = calloc(1, sizeof *qs);

	if (qs == NULL)
		return -1;
	pthread_mutex_init(&qs->lock, NULL);
	map_init(&qs->by_id);
	qs->overdraft = overdraft;
	qs->on_low = on_low;
	qs->arg = arg;
	*out = qs;
	return 0;
}

void quotas_free(struct quotas *qs)
{
	struct quota *q;
	size_t it = 0;

	if (qs == NULL)
		return;
	while ((q = map_next(&qs->by_id, &it)) != NULL)
		free(q);
	map_free(&qs->by_id);
	pthread_mutex_destroy(&qs->lock);
	free(qs);
}

static void on_low(struct allowance *a)
{
	const struct quotas *qs = CONTAINER_OF(a, struct quota, allowance)->all;

	qs->on_low(qs->arg);
}

static struct quota *quota_of(struct quotas *qs, const char *account, uint64_t first, uint64_t overdraft)
{
	struct quota *q = map_get_str(&qs->by_id, account);

	if (q != NULL || (q = calloc(1, sizeof *q)) == NULL)
		return q;
	allowance_init(&q->allowance, on_low);
	allowance_set(&q->allowance, first, 0);
	q->overdraft = overdraft;
	q->all = qs;
	str_copy(q->id, sizeof q->id, account);
	if (map_put_str(&qs->by_id, q->id, q, NULL) == 0)
		return q;
	free(q);
	return NULL;
}

static struct allowance *get(struct quotas *qs, const char *account, uint64_t first, uint64_t overdraft)
{
	struct quota *q;

	if (account[0] == '\0')
		return NULL;
	pthread_mutex_lock(&qs->lock);
	q = quota_of(qs, account, first, overdraft);
	pthread_mutex_unlock(&qs->lock);
	return q != NULL ? &q->allowance : NULL;
}

struct allowance *quotas_get(struct quotas *qs, const char *account)
{
	return qs != NULL ? get(qs, account, 0, qs->overdraft) : NULL;
}

struct allowance *quotas_get_requests(struct quotas *qs, const char *account)
{
	return qs != NULL ? get(qs, account, QUOTAS_REQUESTS_FIRST, QUOTAS_REQUESTS_OVERDRAFT) : NULL;
}

static void each(struct quotas *qs, void (*fn)(struct quota *q))
{
	struct quota *q;
	size_t it = 0;

	pthread_mutex_lock(&qs->lock);
	while ((q = map_next(&qs->by_id, &it)) != NULL)
		fn(q);
	pthread_mutex_unlock(&qs->lock);
}

static void mark(struct quota *q)
{
	q->marked = allowance_done(&q->allowance);
}

void quotas_mark(struct quotas *qs)
{
	each(qs, mark);
}

static void settle(struct quota *q)
{
	q->settled = q->marked;
}

void quotas_settle(struct quotas *qs)
{
	each(qs, settle);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static bool wants(const struct quota *q, uint64_t now_ms)
{
	return __atomic_load_n(&q->allowance.low, __ATOMIC_ACQUIRE) == UINT64_MAX && now_ms >= q->ask_ms;
}

void quotas_ask(struct quotas *qs, uint64_t now_ms, struct msg_spend *out)
{
	struct quota *q;
	size_t it = 0;

	pthread_mutex_lock(&qs->lock);
	while (out->n < SPEND_ACCOUNTS_MAX && (q = map_next(&qs->by_id, &it)) != NULL) {
		struct spend_item *s = &out->items[out->n];

		if (!wants(q, now_ms))
			continue;
		q->asked_done = allowance_done(&q->allowance);
		q->asked_settled = q->settled;
		str_copy(s->account, sizeof s->account, q->id);
		s->held = q->held;
		s->settled = q->settled;
		s->wants = true;
		out->n++;
	}
	pthread_mutex_unlock(&qs->lock);
}

/*
 * "There is nothing" is the end only when controld knew of all that passed here: before, it kept apart for this relay what had
 * passed already.
 */
static void take_nothing(struct quota *q, uint64_t now_ms)
{
	const bool over = q->asked_settled == q->asked_done && allowance_is_spent(&q->allowance);

	allowance_set(&q->allowance, q->held, UINT64_MAX);
	allowance_end(&q->allowance, over || allowance_is_over(&q->allowance));
	if (over)
		q->ask_ms = now_ms + AGAIN_MS;
	else if (!allowance_is_spent(&q->allowance))
		q->ask_ms = now_ms + LATER_MS;
}

/* Half of what there is now may be spent before more is asked for. */
static void take_more(struct quota *q, uint64_t limit)
{
	const uint64_t taken = __atomic_load_n(&q->allowance.taken, __ATOMIC_RELAXED);

	q->held = limit;
	q->ask_ms = 0;
	allowance_end(&q->allowance, false);
	allowance_set(&q->allowance, limit, taken < limit ? taken + (limit - taken) / 2 : 0);
}

void quotas_take(struct quotas *qs, const struct msg_grant *m, uint64_t now_ms,
	void (*told)(const struct grant_item *g, bool over, void *arg), void *arg)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct grant_item *g = &m->items[i];
		struct quota *q;
		bool before;

		pthread_mutex_lock(&qs->lock);
		q = map_get_str(&qs->by_id, g->account);
		pthread_mutex_unlock(&qs->lock);
		if (q == NULL)
			continue;
		before = allowance_is_over(&q->allowance);
		if (g->limit > q->held)
			take_more(q, g->limit);
		else
			take_nothing(q, now_ms);
		if (allowance_is_over(&q->allowance) != before)
			told(g, !before, arg);
	}
}

static void go_alone(struct quota *q)
{
	if (__atomic_load_n(&q->allowance.low, __ATOMIC_ACQUIRE) == UINT64_MAX && !allowance_is_over(&q->allowance))
		allowance_set(&q->allowance, q->held + q->overdraft, UINT64_MAX);
}

void quotas_alone(struct quotas *qs)
{
	each(qs, go_alone);
}

bool quotas_waiting(struct quotas *qs)
{
	const struct quota *q;
	bool waiting = false;
	size_t it = 0;

	pthread_mutex_lock(&qs->lock);
	while (!waiting && (q = map_next(&qs->by_id, &it)) != NULL)
		waiting = __atomic_load_n(&q->allowance.low, __ATOMIC_ACQUIRE) == UINT64_MAX;
	pthread_mutex_unlock(&qs->lock);
	return waiting;
}
