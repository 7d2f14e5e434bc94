#include "relayd/stream/session_inside.h"

#include "common/base/err.h"
#include "common/tunnel/stream_side.h"
#include "relayd/stream/session.h"
#include "relayd/tunnel/visits.h"

#include <stdlib.h>

/* What the gate has no reason for, the agent's own address has. */
static void admit_visit(struct session *s, const struct visit *v)
{
	s->fds = 0;
	s->proxied = malloc(sizeof *s->proxied);
	if (s->proxied == NULL || stream_side_accept(&s->side[CLIENT], v->mux, v->id, v->open) != 0) {
		stream_refuse(v->mux, v->id, ERR_NOMEM, session_end_reason(END_RESOURCE));
		session_close(s, END_RESOURCE);
		return;
	}
	*s->proxied = (struct proxied){ .from = *v->from, .to = *v->at };
	session_leave_header(s);
}

void session_visit(struct tcp_lane *l, const struct visit *v)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct worker *w = l->base.worker;
	struct gate_pass pass;
	struct session *s;

	if (!gate_enter(tcp_lane_gate(l), w->index, conf, v->from, w->now_ns, &pass)) {
		stream_refuse(v->mux, v->id, ERR_OVERLOADED, "the mapping's limits or lists do not let it in");
		return;
	}
	s = session_new(l, -1, (uint16_t)(conf->target_port + v->open->port - conf->port_first));
	if (s == NULL) {
		session_count(l, METER_refused_resource);
		gate_leave(tcp_lane_gate(l), w->index, w->now_ns, &pass);
		stream_refuse(v->mux, v->id, ERR_NOMEM, session_end_reason(END_RESOURCE));
		return;
	}
	s->pass = pass;
	admit_visit(s, v);
}
