#include "common/base/clock.h"
#include "common/base/map.h"
#include "proto/client_conf.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/agent_table.h"

/* Which agent of a client gets the next stream. */

#define GRACE_NS UINT64_C(10000000000) /* an agent that was here so lately may be waited for */

static bool was_tried(const struct agents_tried *tried, uint32_t agent)
{
	for (unsigned i = 0; i < tried->n; i++)
		if (tried->agent[i] == agent)
			return true;
	return false;
}

static struct agent_link *link_in_seat(struct list *it)
{
	return CONTAINER_OF(it, struct agent_link, in_seat);
}

/*
 * Of those that stand best with the target, the one that carries the fewest streams; of these the one that was not picked for
 * longest. NULL: they are down, or were tried.
 */
static struct agent_link *pick(const struct agent_table *t, const struct seat *s, const struct agents_ask *ask)
{
	enum standing_rank best_rank = STANDING_DOWN;
	struct agent_link *best = NULL;

	LIST_FOREACH (it, &s->links) {
		struct agent_link *a = link_in_seat(it);
		enum standing_rank rank = standings_rank(&a->standings, ask->mapping, t->worker->now_ns);

		if (rank == STANDING_DOWN || rank > best_rank || was_tried(ask->tried, a->agent))
			continue;
		if (rank < best_rank || mux_count(&a->link.mux) < mux_count(&best->link.mux))
			best = a;
		best_rank = rank;
	}
	return best;
}

static bool has_another(const struct agent_table *t, const struct agents_ask *ask, const struct agent_link *than)
{
	if (ask->tried->n + 1 >= AGENTS_TRIES_MAX)
		return false;
	LIST_FOREACH (it, &than->seat->links) {
		const struct agent_link *a = link_in_seat(it);

		if (a->agent != than->agent && !was_tried(ask->tried, a->agent) &&
			standings_rank(&a->standings, ask->mapping, t->worker->now_ns) != STANDING_DOWN)
			return true;
	}
	return false;
}

/* Nobody can have it now: somebody may come, or they are here and it is of no use. */
static enum agents_answer without_link(struct agent_table *t, struct seat *s, const struct agents_ask *ask)
{
	if (ask->tried->n == 0 && !list_empty(&s->links))
		return AGENTS_DOWN;
	if (ask->tried->n > 0 || t->quiet || !s->object->client.enabled || t->worker->now_ns - s->left_ns >= GRACE_NS)
		return AGENTS_NONE;
	list_push_back(&s->waiting, &ask->wait->link);
	return AGENTS_WAIT;
}

enum agents_answer agent_table_find(struct agent_table *t, const struct agents_ask *ask, struct agents_found *out)
{
	struct seat *s = agent_table_seat(t, ask->client);
	enum agents_answer answer = AGENTS_NONE;
	struct agent_link *a;

	if (s != NULL && s->object != NULL && !client_conf_port_ok(&s->object->client, ask->port)) {
		answer = AGENTS_SHUT;
	} else if (s != NULL && s->object != NULL) {
		a = ask->tried->n < AGENTS_TRIES_MAX ? pick(t, s, ask) : NULL;
		if (a != NULL) {
			agent_count(&t->counts.streams);
			list_remove(&a->in_seat);
			list_push_back(&s->links, &a->in_seat);
			*out = (struct agents_found){ .link = &a->link.mux,
				.agent = a->agent,
				.zip = s->object->client.compress,
				.others = has_another(t, ask, a) };
			a = ask->alone ? reserve_take(t, s, a->agent) : NULL;
			if (a != NULL)
				out->link = &a->link.mux;
			return AGENTS_HERE;
		}
		answer = without_link(t, s, ask);
	}
	if (answer != AGENTS_WAIT)
		agent_count(&t->counts.no_link);
	return answer;
}

void agent_table_tell(struct agent_table *t, const struct agents_ask *ask, bool reached)
{
	const struct seat *s = agent_table_seat(t, ask->client);
	uint32_t agent = ask->tried->n > 0 ? ask->tried->agent[ask->tried->n - 1] : 0;

	if (s == NULL)
		return;
	LIST_FOREACH (it, &s->links) {
		struct agent_link *a = link_in_seat(it);

		if (a->agent != agent)
			continue;
		if (reached)
			standings_reached(&a->standings, ask->mapping);
		else
			standings_failed(&a->standings, ask->mapping, t->worker->now_ns);
	}
	if (!reached)
		agent_count(&t->counts.failed_streams);
}
