#include "relayd/uplink.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "proto/answer.h"
#include "relayd/link/identity.h"
#include "relayd/link/link.h"
#include "relayd/link/membership.h"
#include "relayd/link/poller.h"
#include "relayd/link/reporter.h"
#include "relayd/meter/meter.h"
#include "relayd/running.h"
#include "relayd/services.h"
#include "relayd/settings.h"
#include "relayd/spending.h"

#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 10000
#define ROWS_SPARE         4096 /* with less room than that left, there may be more */
#define ANSWER_CONN_MAX    320  /* bytes of one connection in an answer */

struct uplink {
	struct uplink_conf conf;
	struct link *link;
	struct poller *poller;
	struct reporter *reporter;
	struct membership *membership;
	bool polling;
	unsigned open_parts;
	bool closing;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

/* ---- the link's events go to the line they belong to ------------------------------------------------------------- */

static void on_up(void *arg)
{
	struct uplink *u = arg;

	membership_up(u->membership);
	reporter_up(u->reporter);
	poller_up(u->poller);
}

static void on_down(void *arg, const char *why)
{
	(void)arg;
	log_debug("uplink_down", log_s("reason", why));
}

static void on_reply(void *arg, enum link_line line, const uint8_t *p, size_t n)
{
	struct uplink *u = arg;

	if (line == LINE_POLL)
		poller_reply(u->poller, p, n);
	else
		reporter_reply(u->reporter, p, n);
}

static void on_lost(void *arg, enum link_line line)
{
	struct uplink *u = arg;

	if (u->closing)
		return;
	if (line == LINE_POLL)
		poller_lost(u->poller);
	else
		reporter_lost(u->reporter);
}

static void on_member(void *arg)
{
	struct uplink *u = arg;
	const struct identity *who = membership_identity(u->membership);

	if (u->conf.identity != NULL)
		u->conf.identity(u->conf.arg, who->node_id, who->cert_pem, who->ca_pem, who->key_pem);
	if (u->polling)
		poller_start(u->poller);
	reporter_start(u->reporter);
}

/* ---- asks -------------------------------------------------------------------------------------------------------- */

static void answer(struct uplink *u, const struct msg_answer *m)
{
	struct buf b;

	buf_init(&b, PROTO_MSG_MAX);
	msg_answer_encode(m, &b);
	reporter_send(u->reporter, &b, NULL, NULL);
}

static void answer_connections(struct uplink *u, const struct ask *a)
{
	const uint32_t fit = MIN(ANSWER_CONNS_MAX, PROTO_MSG_MAX / ANSWER_CONN_MAX - 1);
	uint32_t max = a->limit == 0 ? fit : MIN(a->limit, fit);
	struct msg_answer m = { .ask = a->id, .conns = calloc(max, sizeof m.conns[0]) };

	if (m.conns == NULL)
		m.code = ERR_NOMEM;
	else
		m.n = services_connections(u->conf.services, a->object, m.conns, max, &m.truncated);
	answer(u, &m);
	free(m.conns);
}

static void on_ask(struct uplink *u, const struct ask *a)
{
	struct msg_answer m = { .ask = a->id };

	switch (a->kind) {
	case ASK_CONNECTIONS:
		answer_connections(u, a);
		return;
	case ASK_CUT:
		m.code = services_cut(u->conf.services, a->conn) ? ERR_NONE : ERR_CONNECTION_NOT_FOUND;
		break;
	case ASK_RENEW:
		membership_renew(u->membership);
		break;
	default:
		m.code = ERR_PROTOCOL; /* of a newer controld */
		break;
	}
	answer(u, &m);
}

/* ---- polls and reports ------------------------------------------------------------------------------------------- */

static void on_fill(void *arg, struct msg_poll *out)
{
	struct uplink *u = arg;

	running_fill(u->conf.running, out);
}

static uint64_t on_update(void *arg, const struct msg_update *m)
{
	struct uplink *u = arg;
	uint64_t wait = running_update(u->conf.running, m);

	for (uint32_t i = 0; i < m->n_asks; i++)
		on_ask(u, &m->asks[i]);
	return wait;
}

static void on_head(void *arg, struct msg_report *out)
{
	struct uplink *u = arg;

	u->conf.load(u->conf.arg, &out->load);
	str_copy(out->load.name, sizeof out->load.name, u->conf.settings->name);
	running_state(u->conf.running, &out->state);
}

static void on_clients(void *arg, struct client_states *out)
{
	struct uplink *u = arg;

	if (u->conf.clients != NULL)
		u->conf.clients(u->conf.arg, out);
}

static void on_backends(void *arg, struct backend_states *out)
{
	struct uplink *u = arg;

	if (u->conf.backends != NULL)
		u->conf.backends(u->conf.arg, out);
}

static bool on_rows(void *arg, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows)
{
	struct uplink *u = arg;
	bool any;

	spending_before_rows(u->conf.spending);
	any = meter_report_next(u->conf.meter, max_bytes, head, rows, n_rows);
	spending_after_rows(u->conf.spending, head, any, rows->len < max_bytes - ROWS_SPARE);
	return any;
}

static void on_acked(void *arg, const struct msg_report_ack *ack)
{
	struct uplink *u = arg;

	meter_report_acked(u->conf.meter, ack);
	spending_acked(u->conf.spending, ack);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_part_closed(void *arg)
{
	struct uplink *u = arg;
	void (*on_closed)(void *arg) = u->on_closed;
	void *closed_arg = u->closed_arg;

	if (--u->open_parts > 0)
		return;
	free(u);
	on_closed(closed_arg);
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static int make_link(struct uplink *u, uv_loop_t *loop, struct err *e)
{
	static const struct link_events events = { on_up, on_down, on_reply, on_lost };
	const struct link_conf conf = { .addresses = u->conf.settings->controld,
		.program = "/proc/self/exe",
		.answer_timeout_ms = u->conf.settings->answer_timeout_ms,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS };

	if (link_new(&u->link, loop, &conf, &events, u, e) != 0)
		return -1;
	u->open_parts++;
	return 0;
}

static int make_lines(struct uplink *u, uv_loop_t *loop, struct err *e)
{
	static const struct poller_ops poller_ops = { on_fill, on_update };
	static const struct reporter_ops reporter_ops = { on_head, on_clients, on_backends, on_rows, on_acked };
	const struct membership_conf conf = { .path = u->conf.identity_path,
		.token = u->conf.settings->join_token,
		.name = u->conf.settings->name,
		.seal = u->conf.seal };

	if (poller_new(&u->poller, loop, u->link, &poller_ops, u, e) != 0)
		return -1;
	u->open_parts++;
	if (reporter_new(&u->reporter, loop, u->link, &reporter_ops, u, e) != 0)
		return -1;
	u->open_parts++;
	uplink_set_intervals(u, u->conf.settings->heartbeat_ms, u->conf.settings->report_ms);
	if (membership_new(&u->membership, loop, &conf, u->link, u->reporter, on_member, u, e) != 0)
		return -1;
	u->open_parts++;
	return 0;
}

int uplink_new(struct uplink **out, uv_loop_t *loop, const struct uplink_conf *conf, struct err *e)
{
	struct uplink *u = calloc(1, sizeof *u);

	if (u == NULL)
		return err_set(e, ERR_NOMEM, NULL, "uplink: out of memory");
	u->conf = *conf;
	u->polling = true;
	if (make_link(u, loop, e) != 0 || make_lines(u, loop, e) != 0) {
		uplink_close(u, on_nothing, NULL);
		return -1;
	}
	*out = u;
	return 0;
}

void uplink_start(struct uplink *u)
{
	membership_start(u->membership);
}

void uplink_set_intervals(struct uplink *u, uint64_t heartbeat_ms, uint64_t report_ms)
{
	reporter_set_intervals(u->reporter, heartbeat_ms, report_ms);
}

void uplink_hurry(struct uplink *u)
{
	reporter_hurry(u->reporter);
}

int uplink_send(struct uplink *u, struct buf *message, void (*fn)(void *arg, const void *msg, size_t n), void *of)
{
	return reporter_send(u->reporter, message, fn, of);
}

void uplink_stop_polling(struct uplink *u)
{
	u->polling = false;
	poller_stop(u->poller);
}

void uplink_flush(struct uplink *u, uint64_t timeout_ms, void (*on_flushed)(void *arg, bool all), void *arg)
{
	reporter_flush(u->reporter, timeout_ms, on_flushed, arg);
}

void uplink_close(struct uplink *u, void (*on_closed)(void *arg), void *arg)
{
	if (u->closing)
		return;
	u->closing = true;
	u->on_closed = on_closed;
	u->closed_arg = arg;
	u->open_parts++; /* this call */
	if (u->membership != NULL)
		membership_close(u->membership, on_part_closed, u);
	if (u->reporter != NULL)
		reporter_close(u->reporter, on_part_closed, u);
	if (u->poller != NULL)
		poller_close(u->poller, on_part_closed, u);
	if (u->link != NULL)
		link_close(u->link, on_part_closed, u);
	on_part_closed(u);
}

void uplink_state(const struct uplink *u, struct uplink_state *out)
{
	*out = (struct uplink_state){ .member = membership_is_member(u->membership),
		.connected = membership_is_member(u->membership) && link_connected(u->link),
		.node_id = membership_node_id(u->membership),
		.trouble = membership_trouble(u->membership),
		.certificate_ends_ms = membership_ends_ms(u->membership),
		.restarts = link_restarts(u->link) };
}
