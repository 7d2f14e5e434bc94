#include "controld/jobs/share.h"

#include <string.h>

const int share_weights[JOB_QUEUES] = { [JOB_CRITICAL] = 6, [JOB_DEFAULT] = 3, [JOB_LOW] = 1 };

#define RESERVE_FROM 4 /* workers */

/* Whether one more of this queue may run. */
static bool has_room(const struct share_room *room, const unsigned take[JOB_QUEUES], enum job_queue q)
{
	unsigned all = 0, from_here = 0, kept = room->workers >= RESERVE_FROM ? (unsigned)q : 0;

	for (int i = 0; i < JOB_QUEUES; i++) {
		all += room->running[i] + take[i];
		if (i >= (int)q)
			from_here += room->running[i] + take[i];
	}
	return all < room->workers && from_here + kept < room->workers;
}

/* The queue whose turn it is, or JOB_QUEUES when nothing may be taken. */
static enum job_queue next(struct share *s, const struct share_room *room, const unsigned take[JOB_QUEUES])
{
	enum job_queue best = JOB_QUEUES;
	int total = 0;

	for (int q = 0; q < JOB_QUEUES; q++) {
		if (take[q] >= room->waiting[q])
			s->credit[q] = 0;
		if (take[q] >= room->waiting[q] || !has_room(room, take, (enum job_queue)q))
			continue;
		s->credit[q] += share_weights[q];
		total += share_weights[q];
		if (best == JOB_QUEUES || s->credit[q] > s->credit[best])
			best = (enum job_queue)q;
	}
	if (best != JOB_QUEUES)
		s->credit[best] -= total;
	return best;
}

void share_plan(struct share *s, const struct share_room *room, unsigned take[JOB_QUEUES])
{
	enum job_queue q;

	memset(take, 0, JOB_QUEUES * sizeof take[0]);
	while ((q = next(s, room, take)) != JOB_QUEUES)
		take[q]++;
}
