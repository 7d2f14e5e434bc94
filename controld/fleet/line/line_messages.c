#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/balancer/lb_health.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/gate.h"
#include "controld/fleet/line/grants.h"
#include "controld/fleet/line/line_ca.h"
#include "controld/fleet/line/line_room.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/presence.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/tunnels/mapping_status.h"
#include "proto/answer.h"
#include "proto/join.h"
#include "proto/poll.h"
#include "proto/report.h"
#include "proto/update.h"

#include <stdlib.h>
#include <string.h>

/* ---- states ------------------------------------------------------------------------------------------------------ */

/* What a node has of the group that it is in now. */
static int64_t applied_seq(const struct line *l, const struct roster_node *n, const struct proto_revision *applied)
{
	struct proto_revision now = model_revision(l->model);

	if (memcmp(applied->log_id, now.log_id, sizeof now.log_id) != 0 || applied->seq < (uint64_t)n->row.placed_seq)
		return 0;
	return (int64_t)applied->seq;
}

/* Objects whose status the API computes from what relays refuse. */
static bool has_status(uint8_t kind)
{
	return kind == OBJECT_MAPPING || kind == OBJECT_ROUTE || kind == OBJECT_POOL;
}

void line_tell_statuses(struct line *l, const struct roster_node *n, const struct node_state *s)
{
	struct mapping_refusal *refusals = NULL;
	size_t count = 0;

	if (s->n > 0)
		refusals = calloc(s->n, sizeof *refusals);
	for (uint32_t i = 0; refusals != NULL && i < s->n; i++) {
		if (!has_status(s->refusals[i].kind))
			continue;
		refusals[count++] = (struct mapping_refusal){
			.mapping_id = s->refusals[i].id,
			.seq = (int64_t)s->refusals[i].seq,
			.code = err_from_wire(s->refusals[i].code),
			.reason = s->refusals[i].reason,
		};
	}
	if (s->n == 0 || refusals != NULL)
		mapping_statuses_node(l->conf.statuses, n->row.id, n->row.name, n->row.group_id, n->row.online,
			applied_seq(l, n, &s->applied), refusals, count);
	free(refusals);
}

static void take_state(struct line *l, const struct roster_node *n, const struct node_state *s, uint64_t now_ms)
{
	enum roster_took took = roster_state(l->conf.roster, n->row.id, s, now_ms);

	if (took != ROSTER_OLD)
		line_tell_statuses(l, n, s);
	if (took == ROSTER_NEW || n->claim)
		line_peers_state(l, n->row.id);
}

/* A node that is not to be counted on any more. */
void line_on_offline(const struct roster_node *n, void *arg)
{
	struct line *l = arg;
	const struct node_state nothing = { .applied = n->applied };

	log_info("node_offline", log_s("node", n->row.id), log_s("name", n->row.name));
	presence_offline(l->presence, n);
	line_peers_state(l, n->row.id);
	asks_node_lost(l->conf.asks, n->row.id);
	line_tell_statuses(l, n, &nothing);
	line_clients_gone(l, n->row.id);
	if (l->conf.backends != NULL)
		lb_healths_node_gone(l->conf.backends, n->row.id);
	link_server_close_node(l->link, n->row.id); /* if it lives it dials again, and what hung is gone */
}

/*
 * Every message of a node is a word of it; *n is how it stands now. False: there is no such node any more.
 * Its poll brings it here; other messages may come by another controld than the one that it polls.
 */
static bool heard(struct line *l, struct link_request *rq, unsigned type, uint64_t now_ms, struct roster_node *n)
{
	const char *id = link_request_node(rq);
	char address[ADDR_STRLEN];
	bool news = false;

	addr_print_ip(link_request_from(rq), address);
	if (type != MSG_POLL && roster_is_elsewhere(l->conf.roster, id) && !polls_is_parked(l->polls, id))
		line_peers_heard(l, id);
	else
		news = roster_heard(l->conf.roster, id, address, now_ms, clock_wall_ms());
	if (!roster_get(l->conf.roster, id, n) || n->row.standing != NODE_JOINED)
		return false;
	if (news) {
		log_info("node_online", log_s("node", id), log_s("name", n->row.name), log_s("address", address));
		line_ca_came(l, now_ms);
	}
	return true;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* Each answers 0, or -1 when the message is not what its type says. */
typedef int (*message_fn)(struct line *l, struct link_request *rq, const struct roster_node *n, uint64_t now_ms);

static int on_poll(struct line *l, struct link_request *rq, const struct roster_node *n, uint64_t now_ms)
{
	const struct polls_place where = { n->row.id, n->row.group_id, (uint64_t)n->row.placed_seq };
	struct msg_poll m;
	size_t size;
	const void *p = link_request_bytes(rq, &size);

	if (msg_poll_decode(&m, p, size) != 0)
		return -1;
	take_state(l, n, &m.state, now_ms);
	polls_request(l->polls, &where, &m, rq, now_ms);
	msg_poll_fini(&m);
	return 0;
}

static void take_backends(const struct line *l, const struct roster_node *n, const struct backend_states *list)
{
	if (l->conf.backends != NULL && lb_healths_node(l->conf.backends, n->row.id, list) != 0)
		log_warn("backends_not_taken", log_s("node", n->row.id));
}

static int on_report(struct line *l, struct link_request *rq, const struct roster_node *n, uint64_t now_ms)
{
	const struct msg_report_ack ack = { .boot = "" };
	struct msg_report m;
	size_t size;
	const void *p = link_request_bytes(rq, &size);

	if (msg_report_decode(&m, p, size) != 0)
		return -1;
	if (roster_load(l->conf.roster, n->row.id, &m.load, now_ms, clock_wall_ms()))
		line_peers_load(l, n->row.id);
	take_state(l, n, &m.state, now_ms);
	line_clients_take(l, n, &m.clients);
	take_backends(l, n, &m.backends);
	if (m.boot[0] != '\0') {
		reports_take(l->reports, n->row.id, &m, rq);
	} else {
		buf_reset(&l->message);
		msg_report_ack_encode(&ack, &l->message);
		link_request_reply(rq, &l->message);
	}
	msg_report_fini(&m);
	return 0;
}

static int on_answer(struct line *l, struct link_request *rq, const struct roster_node *n, uint64_t now_ms)
{
	struct msg_answer m;
	size_t size;
	const void *p = link_request_bytes(rq, &size);

	(void)now_ms;
	if (msg_answer_decode(&m, p, size) != 0)
		return -1;
	if (asks_answer(l->conf.asks, n->row.id, &m))
		line_peers_answer(l, n->row.id, p, size);
	msg_answer_fini(&m);
	buf_reset(&l->message);
	msg_answer_ack_encode(&l->message);
	link_request_reply(rq, &l->message);
	return 0;
}

static int on_renew(struct line *l, struct link_request *rq, const struct roster_node *n, uint64_t now_ms)
{
	size_t size;
	const void *p = link_request_bytes(rq, &size);

	(void)now_ms;
	asks_renewing(l->conf.asks, n->row.id);
	return joins_renew(l->joins, n->row.id, link_request_serial(rq), p, size, rq);
}

static int on_spend(struct line *l, struct link_request *rq, const struct roster_node *n, uint64_t now_ms)
{
	size_t size;
	const void *p = link_request_bytes(rq, &size);

	(void)now_ms;
	return grants_take(l->grants, n->row.id, p, size, rq);
}

static const message_fn on_message[] = {
	[MSG_POLL] = on_poll,
	[MSG_REPORT] = on_report,
	[MSG_ANSWER] = on_answer,
	[MSG_RENEW] = on_renew,
	[MSG_SPEND] = on_spend,
};

static void on_node_request(struct line *l, struct link_request *rq)
{
	uint64_t now_ms = clock_mono_ms();
	struct roster_node n;
	size_t size;
	const void *p = link_request_bytes(rq, &size);
	unsigned type = msg_type_of(p, size);

	if (heard(l, rq, type, now_ms, &n) && type < ARRAY_LEN(on_message) && on_message[type] != NULL &&
		on_message[type](l, rq, &n, now_ms) == 0)
		return;
	l->malformed++;
	link_request_expel(rq);
}

/* The link lets through one MSG_JOIN of each stranger. */
static void on_stranger(struct line *l, struct link_request *rq)
{
	struct msg_refused slow = { .code = ERR_RATE_LIMITED, .reason = "too many joins; try again" };
	size_t size;
	const void *p = link_request_bytes(rq, &size);

	if (!gate_admits(l->gate, link_request_from(rq), clock_mono_ns(), &slow.retry_ms)) {
		l->refused_rate++;
		buf_reset(&l->message);
		msg_refused_encode(&slow, &l->message);
		link_request_reply(rq, &l->message);
	} else if (joins_join(l->joins, p, size, rq) != 0) {
		l->malformed++;
		link_request_expel(rq);
	}
}

void line_on_request(void *owner, struct link_request *rq)
{
	struct line *l = owner;

	if (l->stopping)
		link_request_drop(rq);
	else if (link_request_node(rq)[0] == '\0')
		on_stranger(l, rq);
	else
		on_node_request(l, rq);
}

void line_on_lost(void *owner, struct link_request *rq)
{
	struct line *l = owner;

	polls_lost(l->polls, link_request_node(rq), rq, clock_mono_ms());
}

bool line_on_admit(void *owner, const struct cert_info *cert)
{
	struct line *l = owner;
	const uint64_t now_ms = clock_mono_ms();

	return now_ms >= atomic_load(&l->closed_until_ms) && roster_admits(l->conf.roster, cert, now_ms);
}
