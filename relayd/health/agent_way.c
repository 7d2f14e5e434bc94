#include "relayd/health/agent_way.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/tunnel/mux.h"
#include "common/tunnel/stream_side.h"

#include <string.h>

#define WHY_SIZE 128 /* of an agent's words */

static struct agents_ask ask_of(struct agent_way *y)
{
	return (struct agents_ask){
		.client = y->client, .mapping = y->backend, .port = y->port, .wait = &y->task, .tried = &y->tried
	};
}

static int open_stream(struct agent_way *y, const struct agents_found *found, struct err *e)
{
	struct frame_open open = { .kind = FRAME_TCP, .port = y->port, .zip = found->zip };

	str_copy(open.mapping, sizeof open.mapping, y->backend);
	str_copy(open.host, sizeof open.host, y->host);
	y->tried.agent[y->tried.n++] = found->agent;
	side_init(y->side, y->side->io.on_event, -1);
	if (stream_side_open(y->side, found->link, &open) != 0)
		return err_set(e, ERR_NOMEM, NULL, "the link of its agent takes no more");
	y->link = found->link;
	y->side->writable = true;
	return 0;
}

int agent_way_find(struct agent_way *y, struct err *e)
{
	const struct agents_ask ask = ask_of(y);
	struct agents_found found;

	if (y->agents == NULL)
		return err_set(e, ERR_UNAVAILABLE, NULL, "this relay takes no agents");
	switch (agents_find(y->agents, y->worker, &ask, &found)) {
	case AGENTS_HERE:
		return open_stream(y, &found, e);
	case AGENTS_WAIT:
		return 0;
	case AGENTS_DOWN:
		return err_set(e, ERR_UNAVAILABLE, NULL, "it works at none of its client's agents");
	case AGENTS_SHUT:
		return err_set(e, ERR_DENIED_TARGET, NULL, "its client's config does not let the port through");
	default:
		return err_set(e, ERR_UNAVAILABLE, NULL, "no agent of its client is here");
	}
}

/* It did not get there; another one may. The last one's words are what is told. */
static int leave(struct agent_way *y, struct err *e)
{
	const struct agents_ask ask = ask_of(y);
	char why[WHY_SIZE];

	str_copy(why, sizeof why, y->link->why != NULL ? y->link->why : "its link is gone");
	agents_tell(y->agents, y->worker, &ask, false);
	side_close(y->side, true);
	if (y->tried.n < AGENTS_TRIES_MAX && agent_way_find(y, e) == 0)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, NULL, "its agent did not reach it: %s", why);
}

int agent_way_hear(struct agent_way *y, uint32_t events, struct err *e)
{
	const struct agents_ask ask = ask_of(y);

	if (events & EPOLLERR)
		return leave(y, e);
	side_hear(y->side, y->worker, events);
	if (!stream_side_stream(y->side)->opened)
		return 0;
	agents_tell(y->agents, y->worker, &ask, true);
	return 1;
}

void agent_way_fini(struct agent_way *y)
{
	list_remove(&y->task.link);
}

ssize_t agent_way_read(struct agent_way *y, void *p, size_t n)
{
	struct side *s = y->side;
	const uint8_t *from;
	const size_t there = s->ops->peek(s, &from), taken = MIN(there, n);

	if (there == 0)
		return s->fin ? 0 : -1;
	memcpy(p, from, taken);
	s->ops->take(s, taken);
	return (ssize_t)taken;
}

ssize_t agent_way_write(struct agent_way *y, const void *p, size_t n)
{
	struct side *s = y->side;
	const size_t room = s->ops->room(s);

	if (room == 0)
		return -1;
	return s->ops->send(s, p, MIN(room, n)) < 0 ? -2 : (ssize_t)MIN(room, n);
}
