#include "relayd/lb/lb_queue.h"

void lb_queue_init(struct lb_queue *q, uint32_t max, uint64_t timeout_ns)
{
	list_init(&q->waiters);
	q->n = 0;
	q->max = max;
	q->timeout_ns = timeout_ns;
}

bool lb_queue_push(struct lb_queue *q, struct lb_waiter *w, uint64_t now_ns)
{
	if (q->n >= q->max)
		return false;
	w->until_ns = now_ns + q->timeout_ns;
	list_push_back(&q->waiters, &w->node);
	q->n++;
	return true;
}

static struct lb_waiter *first(const struct lb_queue *q)
{
	return list_empty(&q->waiters) ? NULL : CONTAINER_OF(q->waiters.next, struct lb_waiter, node);
}

void lb_queue_remove(struct lb_queue *q, struct lb_waiter *w)
{
	list_remove(&w->node);
	q->n--;
}

/* The first that still has time; those before it are over, and stay for lb_queue_expired(). */
struct lb_waiter *lb_queue_pop(struct lb_queue *q, uint64_t now_ns)
{
	struct list *node;

	for (node = q->waiters.next; node != &q->waiters; node = node->next) {
		struct lb_waiter *w = CONTAINER_OF(node, struct lb_waiter, node);

		if (w->until_ns <= now_ns)
			continue;
		lb_queue_remove(q, w);
		return w;
	}
	return NULL;
}

struct lb_waiter *lb_queue_expired(struct lb_queue *q, uint64_t now_ns)
{
	struct lb_waiter *w = first(q);

	if (w == NULL || w->until_ns > now_ns)
		return NULL;
	lb_queue_remove(q, w);
	return w;
}

uint64_t lb_queue_next_ns(const struct lb_queue *q)
{
	const struct lb_waiter *w = first(q);

	return w != NULL ? w->until_ns : 0;
}
