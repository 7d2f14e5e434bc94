#define _GNU_SOURCE
#include "client/agent/tcp_pair.h"

#include <sys/socket.h>

/* The way's source has ended: pass it on. When the other way has ended before, closing the socket says it. */
static void end_way(struct tcp_pair *p, unsigned way)
{
	bool last = p->flow[!way].state == FLOW_DONE;

	p->flow[way].state = FLOW_DONE;
	if ((way == PAIR_TO_STREAM || !last) &&
		side_finish(&p->side[way == PAIR_TO_SOCKET ? PAIR_SOCKET : PAIR_STREAM]) != 0)
		p->on_end(p, true);
	else if (last)
		p->on_end(p, false);
}

static void pump_way(struct tcp_pair *p, unsigned way)
{
	struct side *from = &p->side[way == PAIR_TO_SOCKET ? PAIR_STREAM : PAIR_SOCKET];
	struct side *to = &p->side[way == PAIR_TO_SOCKET ? PAIR_SOCKET : PAIR_STREAM];
	struct flow *f = &p->flow[way];

	if (f->state == FLOW_DONE)
		return;
	switch (flow_pump(f, &p->ways[way], from, to)) {
	case FLOW_BUSY:
		worker_again(p->worker, &p->task);
		break;
	case FLOW_ENDED:
		end_way(p, way);
		break;
	case FLOW_BROKEN:
		p->on_end(p, true);
		break;
	case FLOW_BLOCKED:
	case FLOW_THROTTLED: /* never: there is no rate */
	case FLOW_MOVED:
		break;
	}
}

static void pump(struct tcp_pair *p)
{
	if (p->flows)
		pump_way(p, PAIR_TO_SOCKET);
	if (p->flows)
		pump_way(p, PAIR_TO_STREAM);
}

static void on_turn(struct task *task)
{
	pump(CONTAINER_OF(task, struct tcp_pair, task));
}

/* A reset, or the link's end. Nothing is pumped: what was still in the stream is lost, and must not look complete. */
static void on_stream(struct io *io, uint32_t events)
{
	struct tcp_pair *p = CONTAINER_OF(io, struct tcp_pair, side[PAIR_STREAM].io);

	if (events & EPOLLERR) {
		p->on_end(p, true);
		return;
	}
	side_hear(&p->side[PAIR_STREAM], p->worker, events);
	if (!p->flows && events & EPOLLOUT && p->on_opened != NULL)
		p->on_opened(p);
	else
		pump(p);
}

/* What came before a reset, and the relay takes at once, is passed on before it learns of the reset. */
static void on_socket(struct io *io, uint32_t events)
{
	struct tcp_pair *p = CONTAINER_OF(io, struct tcp_pair, side[PAIR_SOCKET].io);

	side_hear(&p->side[PAIR_SOCKET], p->worker, events);
	pump(p);
	if (events & EPOLLERR)
		p->on_end(p, true);
}

void tcp_pair_init(struct tcp_pair *p, struct worker *w, struct flow_way ways[2], tcp_pair_end_fn on_end)
{
	p->worker = w;
	p->ways = ways;
	p->on_end = on_end;
	p->on_opened = NULL;
	p->flows = false;
	side_init(&p->side[PAIR_STREAM], on_stream, -1);
	side_init(&p->side[PAIR_SOCKET], on_socket, -1);
	p->side[PAIR_STREAM].writable = true;
	flow_init(&p->flow[PAIR_TO_SOCKET]);
	flow_init(&p->flow[PAIR_TO_STREAM]);
	task_init(&p->task, on_turn);
}

int tcp_pair_set_socket(struct tcp_pair *p, int fd)
{
	side_init(&p->side[PAIR_SOCKET], on_socket, fd);
	return io_add(p->worker, &p->side[PAIR_SOCKET].io, IO_STREAM);
}

void tcp_pair_start(struct tcp_pair *p)
{
	p->flows = true;
	pump(p);
}

void tcp_pair_close(struct tcp_pair *p, bool reset)
{
	p->flows = false;
	for (unsigned i = 0; i < 2; i++) {
		side_close(&p->side[i], reset);
		flow_fini(&p->flow[i], &p->ways[i]);
	}
	list_remove(&p->task.link);
}
