#include "client/agent/relay/uplink.h"

#include "client/agent/credential.h"
#include "client/agent/instance.h"
#include "client/agent/relay/http_proxy.h"
#include "client/agent/relay/proxy_hop.h"
#include "client/agent/relay/relay_url.h"
#include "client/agent/target/checks.h"
#include "client/agent/target/sessions.h"
#include "client/agent/visit/visit_associate.h"
#include "client/agent/visit/visits.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/tunnel/frame_check.h"
#include "common/uv/connector.h"

#include <stdlib.h>
#include <sys/socket.h>

/*
 *   WAITING --its time--> DIALLING --connected--> GREETING --WELCOME--> UP --GOAWAY, retired--> LEAVING
 *      |                     |                       |                  |                         |
 *      +---------------------+-----------------------+------------------+-------------------------+--> OVER
 */
static const struct sm_state states[] = {
	[UPLINK_WAITING] = { "waiting", BIT(UPLINK_DIALLING) | BIT(UPLINK_OVER) },
	[UPLINK_DIALLING] = { "connecting", BIT(UPLINK_GREETING) | BIT(UPLINK_OVER) },
	[UPLINK_GREETING] = { "greeting", BIT(UPLINK_UP) | BIT(UPLINK_OVER) },
	[UPLINK_UP] = { "up", BIT(UPLINK_LEAVING) | BIT(UPLINK_OVER) },
	[UPLINK_LEAVING] = { "leaving", BIT(UPLINK_OVER) },
	[UPLINK_OVER] = { "over", 0 },
};

static void uplink_move(struct uplink *u, enum uplink_state to)
{
	u->last = u->state;
	sm_move(states, &u->state, (int)to);
}

const char *uplink_state_name(const struct uplink *u)
{
	return states[u->state].name;
}

static struct uplink *uplink_of(struct tunnel_link *l)
{
	return CONTAINER_OF(l, struct uplink, link);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	struct uplink *u = CONTAINER_OF(t, struct uplink, grave);

	u->ops->on_over(u); /* frees it */
}

/* Before there is a link: nothing of it is left after this. */
static void uplink_end(struct uplink *u, const char *why)
{
	str_copy(u->why, sizeof u->why, why);
	uplink_move(u, UPLINK_OVER);
	wheel_disarm(&u->timer);
	connector_cancel(u->dial);
	proxy_hop_cancel(u->hop);
	u->dial = NULL;
	u->hop = NULL;
	worker_bury(u->env->worker, &u->grave);
}

void uplink_close(struct uplink *u, const char *why)
{
	if (u->state == UPLINK_OVER)
		return;
	if (u->state >= UPLINK_GREETING)
		tunnel_link_close(&u->link, why); /* on_link_closed() does the rest */
	else
		uplink_end(u, why);
}

static void on_link_closed(struct tunnel_link *l, const char *why)
{
	struct uplink *u = uplink_of(l);

	checks_leave(u->env->checks, l);
	str_copy(u->why, sizeof u->why, u->refused.code != 0 ? u->refused.reason : why);
	visits_link_left(u->env->visits, l);
	u->other_ca = l->other_ca;
	uplink_move(u, UPLINK_OVER);
	u->ops->on_over(u); /* frees it */
}

/* ---- leaving ------------------------------------------------------------------------------------------------------ */

static void close_if_empty(struct uplink *u)
{
	if (u->state == UPLINK_LEAVING && mux_count(&u->link.mux) == 0)
		tunnel_link_close_after(&u->link, "its last stream has ended");
}

void uplink_on_session_ended(struct tunnel_link *l)
{
	close_if_empty(uplink_of(l));
}

void uplink_retire(struct uplink *u, const char *why)
{
	struct frame_end end = { .code = ERR_UNAVAILABLE };

	if (u->state != UPLINK_UP) {
		if (u->state != UPLINK_LEAVING)
			uplink_close(u, why);
		return;
	}
	uplink_move(u, UPLINK_LEAVING);
	visits_link_left(u->env->visits, &u->link);
	str_copy(end.reason, sizeof end.reason, why);
	frame_end_put(&u->link.mux.out, FRAME_GOAWAY, 0, &end);
	tunnel_link_flush(&u->link);
	close_if_empty(u);
}

/* ---- frames of the link ------------------------------------------------------------------------------------------- */

static void greet(struct uplink *u)
{
	struct tunnel_link *l = &u->link;
	struct frame_hello h = { .epoch = u->env->instance->epoch, .version = PORTWAY_VERSION };
	uint8_t exported[FRAME_EXPORTED];

	str_copy(h.client, sizeof h.client, u->env->credential->client);
	str_copy(h.instance, sizeof h.instance, u->env->instance->name);
	h.role = u->role;
	h.lane = u->role == FRAME_FOR_ONE ? u->lane : 0;
	if (tunnel_link_export(l, exported) != 0 || credential_sign(u->env->credential, &h, exported) != 0) {
		tunnel_link_close(l, "the greeting cannot be signed");
		return;
	}
	frame_hello_put(&l->mux.out, &h);
	tunnel_link_flush(l);
}

static void on_secured(struct tunnel_link *l)
{
	greet(uplink_of(l));
}

void uplink_greet_again(struct uplink *u)
{
	u->greets_again = u->state == UPLINK_GREETING;
	if (u->state == UPLINK_UP || u->state == UPLINK_LEAVING)
		greet(u);
}

static int on_welcome(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_welcome w;

	if (u->state != UPLINK_GREETING || frame_welcome_get(&w, payload, h->n) != 0)
		return -1;
	uplink_move(u, UPLINK_UP);
	u->since_ms = clock_wall_ms();
	u->up_ns = u->env->worker->now_ns;
	u->lane = w.lane;
	tunnel_link_up(&u->link, w.ping_ms);
	if (u->greets_again)
		greet(u);
	u->ops->on_up(u, &w);
	return 0;
}

static int on_refused(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_end end;

	if (frame_end_get(&end, payload, h->n) != 0)
		return -1;
	u->refused = end;
	if (u->refused.code == 0)
		u->refused.code = ERR_UNAVAILABLE;
	str_make_utf8(u->refused.reason);
	tunnel_link_close(&u->link, u->refused.reason);
	return 0;
}

static int on_goaway(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_end end;

	if (frame_end_get(&end, payload, h->n) != 0 || u->state < UPLINK_UP)
		return -1;
	if (u->state != UPLINK_UP)
		return 0;
	uplink_move(u, UPLINK_LEAVING);
	visits_link_left(u->env->visits, &u->link);
	u->ops->on_goaway(u, &end);
	close_if_empty(u);
	return 0;
}

static int on_check(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_check c;

	if (u->state < UPLINK_UP || frame_check_get(&c, payload, h->n) != 0)
		return -1;
	str_make_utf8(c.spec.host);
	checks_take(u->env->checks, &u->link, &c);
	return 0;
}

static int on_reserve(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	if (frame_reserve_get(&u->reserve, payload, h->n) != 0 || u->state < UPLINK_UP || u->ops->on_reserve == NULL)
		return -1;
	u->ops->on_reserve(u);
	return 0;
}

static int on_offer(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_offer o;

	if (u->state < UPLINK_UP || frame_offer_get(&o, payload, h->n) != 0)
		return -1;
	str_make_utf8(o.mapping);
	if (u->state == UPLINK_UP)
		visits_offered(u->env->visits, &u->link, u->owner, &o);
	return 0;
}

static int on_withdraw(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	char mapping[FRAME_ID_SIZE];

	if (u->state < UPLINK_UP || frame_withdraw_get(mapping, payload, h->n) != 0)
		return -1;
	str_make_utf8(mapping);
	visits_withdrawn(u->env->visits, &u->link, mapping);
	return 0;
}

static int on_rules(struct uplink *u, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_rules r;

	if (u->state < UPLINK_UP || frame_rules_get(&r, payload, h->n) != 0)
		return -1;
	tunnel_link_set_ping(&u->link, r.ping_ms);
	if (u->ops->on_rules != NULL)
		u->ops->on_rules(u, &r);
	return 0;
}

static int on_control(struct tunnel_link *l, const struct frame_head *h, const uint8_t *payload)
{
	struct uplink *u = uplink_of(l);

	switch (h->type) {
	case FRAME_WELCOME:
		return on_welcome(u, h, payload);
	case FRAME_REFUSED:
		return on_refused(u, h, payload);
	case FRAME_GOAWAY:
		return on_goaway(u, h, payload);
	case FRAME_RULES:
		return on_rules(u, h, payload);
	case FRAME_CHECK:
		return on_check(u, h, payload);
	case FRAME_RESERVE:
		return on_reserve(u, h, payload);
	case FRAME_OFFER:
		return on_offer(u, h, payload);
	case FRAME_WITHDRAW:
		return on_withdraw(u, h, payload);
	default:
		return -1;
	}
}

static void on_open(struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct uplink *u = uplink_of(l);

	if (visit_associate_is_asked_for(o))
		visit_associate_open(u->env->visits, l, id, o);
	else
		sessions_open(u->env->sessions, l, id, o);
	if (u->ops->on_taken != NULL)
		u->ops->on_taken(u);
}

static const struct tunnel_link_ops link_ops = {
	.on_secured = on_secured, .on_control = on_control, .on_open = on_open, .on_closed = on_link_closed
};

/* ---- getting there ------------------------------------------------------------------------------------------------ */

static void on_connected(struct uplink *u, int fd)
{
	const struct uplink_env *env = u->env;
	struct err e;

	if (tunnel_link_start(&u->link, env->worker, env->desk, env->tls, false, fd, &link_ops, &e) != 0) {
		uplink_end(u, e.msg);
		return;
	}
	uplink_move(u, UPLINK_GREETING);
	if (u->url->web && tunnel_link_carry(&u->link, u->url->authority, u->url->path, u->web_tls, &e) != 0)
		tunnel_link_close(&u->link, e.msg);
}

static void on_hopped(void *arg, int fd, const struct err *e)
{
	struct uplink *u = arg;

	u->hop = NULL;
	if (fd < 0)
		uplink_end(u, e->msg);
	else
		on_connected(u, fd);
}

static void on_dialled_proxy(struct uplink *u, int fd)
{
	const struct proxy_hop_conf conf = { .proxy = u->env->proxy,
		.host = u->url->host,
		.port = u->url->port,
		.timeout_ms = UPLINK_DIAL_MS,
		.on_done = on_hopped,
		.arg = u };

	u->hop = proxy_hop_start(u->env->worker, fd, &conf);
	if (u->hop == NULL)
		uplink_end(u, "out of memory");
}

static bool through_proxy(const struct uplink *u)
{
	return !http_proxy_passes_by(u->env->proxy, u->url->host, getenv("no_proxy"));
}

static void on_dialled(void *arg, int fd, const struct addr *to, const struct err *e)
{
	struct uplink *u = arg;

	u->dial = NULL;
	if (fd < 0) {
		uplink_end(u, e->msg);
		return;
	}
	u->to = *to;
	if (through_proxy(u))
		on_dialled_proxy(u, fd);
	else
		on_connected(u, fd);
}

static void on_due(struct timer *t)
{
	struct uplink *u = CONTAINER_OF(t, struct uplink, timer);
	const struct http_proxy *proxy = through_proxy(u) ? u->env->proxy : NULL;
	const struct connector_conf conf = { .host = proxy != NULL ? proxy->host : u->url->host,
		.port = proxy != NULL ? proxy->port : u->url->port,
		.type = SOCK_STREAM,
		.timeout_ms = UPLINK_DIAL_MS,
		.first = u->first,
		.on_done = on_dialled,
		.arg = u };

	uplink_move(u, UPLINK_DIALLING);
	u->dial = connector_start(u->env->worker, &conf);
	if (u->dial == NULL)
		uplink_end(u, "out of memory");
}

struct uplink *uplink_new(const struct uplink_env *env, const struct uplink_ops *ops, void *owner, uint64_t delay_ms)
{
	struct uplink *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	u->env = env;
	u->ops = ops;
	u->owner = owner;
	u->start_ns = env->worker->now_ns + delay_ms * UINT64_C(1000000);
	list_init(&u->in);
	timer_init(&u->timer, on_due);
	task_init(&u->grave, on_buried);
	wheel_arm(&env->worker->wheel, &u->timer, u->start_ns);
	return u;
}

void uplink_set_target(struct uplink *u, const struct relay_url *url, struct tls_ctx *web_tls, unsigned first)
{
	u->url = url;
	u->web_tls = web_tls;
	u->first = first;
}

void uplink_set_alone(struct uplink *u, uint16_t lane)
{
	u->role = FRAME_FOR_ONE;
	u->lane = lane;
}
