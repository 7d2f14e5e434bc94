#include "relayd/spending.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "proto/report.h"
#include "proto/spend.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/limit/quotas.h"
#include "relayd/running.h"

#include <stdlib.h>

#define LOOK_MS  50   /* while somebody waits */
#define ALONE_MS 2000 /* without an answer */
#define LOST_MS  30000
#define BAD_MS   1000 /* after one that is none */

struct spending {
	struct spending_conf conf;
	uv_async_t low;
	uv_timer_t look;
	unsigned handles;
	bool asked, closing;
	uint64_t since_ms; /* of the first question since the last answer; 0: none */
	uint64_t asked_ms, next_ms;
	uint64_t report; /* number of the one that what is marked is in; 0: none */
};

/* ---- what is told ------------------------------------------------------------------------------------------------- */

static bool is_paid_by(const struct object *o, const char *account)
{
	if (o->kind == OBJECT_ROUTE)
		return str_eq(o->route.account, account);
	return o->kind == OBJECT_MAPPING && str_eq(o->mapping.account, account);
}

static void refuse(const struct spending *s, const struct object *o, int64_t resets_ms)
{
	char at[CLOCK_RFC3339_SIZE];
	struct err why = { .code = ERR_NONE };

	clock_rfc3339(at, resets_ms);
	if (o->kind == OBJECT_ROUTE)
		err_set(&why, ERR_QUOTA_EXCEEDED, NULL, "the tenant's requests of this month are used up until %s", at);
	else
		err_set(&why, ERR_QUOTA_EXCEEDED, NULL, "the owner's traffic quota is used up until %s", at);
	refusals_set(s->conf.refusals, o, &why);
}

static void on_told(const struct grant_item *g, bool over, void *arg)
{
	const struct spending *s = arg;
	struct snapshot_walk w = { 0 };
	const struct object *o;

	log_info(over ? "quota_used_up" : "quota_again", log_s("account", g->account));
	while ((o = snapshot_next(running_snapshot(s->conf.running), &w)) != NULL) {
		if (!is_paid_by(o, g->account))
			continue;
		if (over)
			refuse(s, o, g->resets_ms);
		else
			refusals_clear(s->conf.refusals, o->id);
	}
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static void on_look(uv_timer_t *t);

static void look_again(struct spending *s)
{
	if (!s->closing && quotas_waiting(s->conf.quotas))
		uv_timer_start(&s->look, on_look, LOOK_MS, 0);
}

static void on_grant(void *arg, const void *msg, size_t n)
{
	struct spending *s = arg;
	struct msg_grant *m = malloc(sizeof *m);

	s->asked = false;
	if (m == NULL || msg_grant_decode(m, msg, n) != 0) {
		log_warn("quota_not_granted", log_u("bytes", n));
		s->next_ms = clock_mono_ms() + BAD_MS;
	} else {
		s->since_ms = 0;
		quotas_take(s->conf.quotas, m, clock_mono_ms(), on_told, s);
	}
	free(m);
	look_again(s);
}

static void ask(struct spending *s)
{
	struct msg_spend *m = calloc(1, sizeof *m);
	struct buf b;

	if (m == NULL)
		return;
	str_copy(m->boot, sizeof m->boot, s->conf.boot);
	quotas_ask(s->conf.quotas, clock_mono_ms(), m);
	if (m->n > 0) {
		s->conf.hurry(s->conf.arg); /* what was spent is settled before the next time */
		buf_init(&b, PROTO_MSG_MAX);
		msg_spend_encode(m, &b);
		s->asked_ms = clock_mono_ms();
		if (s->since_ms == 0)
			s->since_ms = s->asked_ms;
		s->asked = s->conf.send(s->conf.arg, &b, on_grant, s) == 0;
	}
	free(m);
}

static void on_look(uv_timer_t *t)
{
	struct spending *s = t->data;

	if (s->asked && clock_mono_ms() - s->asked_ms >= LOST_MS)
		s->asked = false; /* the line that it went by was given up; asking twice is asking once */
	if (!s->asked && clock_mono_ms() >= s->next_ms)
		ask(s);
	if (s->since_ms != 0 && clock_mono_ms() - s->since_ms >= ALONE_MS)
		quotas_alone(s->conf.quotas);
	look_again(s);
}

static void on_low(uv_async_t *async)
{
	struct spending *s = async->data;

	if (!s->closing)
		on_look(&s->look);
}

void spending_low(struct spending *s)
{
	uv_async_send(&s->low);
}

/* ---- reports ------------------------------------------------------------------------------------------------------ */

void spending_before_rows(struct spending *s)
{
	if (s->report == 0) /* one that is given again has what it had */
		quotas_mark(s->conf.quotas);
}

void spending_after_rows(struct spending *s, const struct msg_report *head, bool any, bool complete)
{
	if (!any) {
		s->report = 0;
		quotas_settle(s->conf.quotas);
	} else if (s->report == 0 && complete && str_eq(head->boot, s->conf.boot)) {
		s->report = head->number;
	}
}

void spending_acked(struct spending *s, const struct msg_report_ack *ack)
{
	if (s->report == 0 || !str_eq(ack->boot, s->conf.boot) || ack->stored < s->report)
		return;
	s->report = 0;
	quotas_settle(s->conf.quotas);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
	struct spending *s = h->data;

	if (--s->handles == 0)
		free(s);
}

void spending_close(struct spending *s)
{
	if (s == NULL || s->closing)
		return;
	s->closing = true;
	uv_close((uv_handle_t *)&s->look, on_closed);
	uv_close((uv_handle_t *)&s->low, on_closed);
}

int spending_new(struct spending **out, uv_loop_t *loop, const struct spending_conf *conf, struct err *e)
{
	struct spending *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "spending: out of memory");
	s->conf = *conf;
	s->low.data = s->look.data = s;
	if (uv_async_init(loop, &s->low, on_low) != 0) {
		free(s);
		return err_set(e, ERR_NOMEM, NULL, "spending: out of memory");
	}
	uv_timer_init(loop, &s->look);
	s->handles = 2;
	*out = s;
	return 0;
}
