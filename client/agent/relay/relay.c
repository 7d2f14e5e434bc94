#include "client/agent/relay/relay.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"

#include <stdlib.h>

#define BACKOFF_BASE_MS 500
#define BACKOFF_MS      30000 /* until the relay says */
#define BACKOFF_MIN_MS  1000
#define BACKOFF_MAX_MS  600000
#define LINKS_MAX       64
#define STEADY_NS       UINT64_C(3000000000) /* a link that was up so long makes earlier failures forgotten */

static struct uplink *uplink_in(struct list *in)
{
	return CONTAINER_OF(in, struct uplink, in);
}

static unsigned count(const struct relay *r, enum uplink_state from, enum uplink_state to)
{
	unsigned n = 0;

	LIST_FOREACH (it, &r->uplinks) {
		int state = uplink_in(it)->state;

		n += state >= (int)from && state <= (int)to;
	}
	return n;
}

unsigned relay_links_up(const struct relay *r)
{
	return count(r, UPLINK_UP, UPLINK_UP);
}

/* ---- as many links as it should be -------------------------------------------------------------------------------- */

static const struct uplink_ops uplink_ops;

static unsigned target(const struct relay *r)
{
	if (r->closing || r->refused)
		return 0;
	return relay_links_up(r) > 0 ? r->wanted : 1;
}

static int add(struct relay *r, uint64_t delay_ms)
{
	struct uplink *u = uplink_new(r->env, &uplink_ops, r, delay_ms);

	if (u == NULL)
		return -1;
	uplink_set_target(u, &r->url, r->web_tls, r->dials++);
	list_push_back(&r->uplinks, &u->in);
	return 0;
}

static void close_one_that_waits(struct relay *r)
{
	LIST_FOREACH (it, &r->uplinks)
		if (uplink_in(it)->state == UPLINK_WAITING) {
			uplink_close(uplink_in(it), "not needed");
			return;
		}
}

/* New ones after the delay; those that wait and are not wanted any more go. */
static void settle(struct relay *r, uint64_t delay_ms)
{
	unsigned want = target(r), have = count(r, UPLINK_WAITING, UPLINK_UP);

	for (; have < want && add(r, delay_ms) == 0; have++)
		;
	for (unsigned waiting = count(r, UPLINK_WAITING, UPLINK_WAITING); have > want && waiting > 0; have--, waiting--)
		close_one_that_waits(r);
}

/*
 * Failures in a row make the wait longer. A link that was up for a while begins a new row; links that are lost together, as all
 * of a relay that ends, are one failure.
 */
static uint64_t backoff(struct relay *r, const struct uplink *u)
{
	unsigned attempt;

	if (u->up_ns != 0 && r->env->worker->now_ns - u->up_ns >= STEADY_NS)
		r->attempt = 0;
	attempt = r->attempt;
	if (u->up_ns == 0 || relay_links_up(r) == 0)
		r->attempt++;
	return rand_backoff_ms(attempt, BACKOFF_BASE_MS, r->backoff_ms);
}

/* ---- what links tell ---------------------------------------------------------------------------------------------- */

static void on_up(struct uplink *u, const struct frame_welcome *w)
{
	struct relay *r = u->owner;
	char to[ADDR_STRLEN];

	addr_print(&u->to, to);
	str_copy(r->node, sizeof r->node, w->node);
	str_make_utf8(r->node);
	r->wanted = MIN(w->links, LINKS_MAX);
	r->backoff_ms = MIN(MAX(w->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
	r->last = (struct frame_end){ .code = 0 };
	r->unknown_ns = 0;
	log_info("link_up", log_s("relay", r->name), log_s("node", r->node), log_s("address", to),
		log_u("links", relay_links_up(r)));
	settle(r, 0);
	r->on_change(r, r->arg);
}

static void on_goaway(struct uplink *u, const struct frame_end *why)
{
	struct relay *r = u->owner;
	uint64_t delay_ms = rand_below((uint64_t)MIN(why->retry_ms, BACKOFF_MAX_MS) + 1);

	r->attempt = 0; /* it is no failure */
	log_info("link_leaves", log_s("relay", r->name), log_s("reason", why->reason), log_u("next_in_ms", delay_ms));
	settle(r, delay_ms);
}

/* It may not have heard of a new client yet; one that it still does not know after long is deleted. */
static void note_unknown(struct relay *r, const struct uplink *u)
{
	const uint64_t now = r->env->worker->now_ns;

	if (u->refused.code != 0 && u->refused.code != ERR_NOT_FOUND)
		r->unknown_ns = 0;
	if (u->refused.code != ERR_NOT_FOUND)
		return;
	if (r->unknown_ns == 0)
		r->unknown_ns = now;
	else if (now - r->unknown_ns >= r->env->unknown_ms * UINT64_C(1000000))
		r->refused = true;
}

static void note_end(struct relay *r, const struct uplink *u)
{
	str_copy(r->last_error, sizeof r->last_error, u->why);
	r->last_error_ms = clock_wall_ms();
	if (u->refused.code != 0)
		r->last = u->refused;
	note_unknown(r, u);
	if (u->refused.code != 0 && u->refused.retry_ms == 0)
		r->refused = true;
	if (u->other_ca && r->node[0] == '\0') /* a wrong setting; once it was right, somebody is in between */
		r->refused = r->stranger = true;
	if (u->last == UPLINK_UP && !r->reconnect && relay_links_up(r) == 0)
		r->refused = r->lost = true;
}

/* What it ended in: on its own it was lost or not reached; else it was not needed, or ended as agreed. */
static uint64_t take_loss(struct relay *r, const struct uplink *u)
{
	uint64_t delay_ms;

	if (r->closing || u->last == UPLINK_WAITING || u->last == UPLINK_LEAVING)
		return 0;
	note_end(r, u);
	delay_ms = backoff(r, u) + MIN(u->refused.retry_ms, BACKOFF_MAX_MS);
	if (r->refused)
		log_error("relay_refuses", log_s("relay", r->name), log_s("reason", u->why));
	else
		log_warn(u->last == UPLINK_UP ? "link_lost" : "relay_not_reached", log_s("relay", r->name),
			log_s("reason", u->why), log_u("next_in_ms", delay_ms));
	return delay_ms;
}

static void on_over(struct uplink *u)
{
	struct relay *r = u->owner;
	uint64_t delay_ms = take_loss(r, u);

	list_remove(&u->in);
	free(u);
	settle(r, delay_ms);
	r->on_change(r, r->arg); /* may free r */
}

static void on_rules(struct uplink *u, const struct frame_rules *rules)
{
	struct relay *r = u->owner;

	r->reconnect = rules->reconnect;
}

static void on_reserve(struct uplink *u)
{
	spares_settle(u->owner);
}

static const struct uplink_ops uplink_ops = {
	.on_up = on_up, .on_goaway = on_goaway, .on_reserve = on_reserve, .on_over = on_over, .on_rules = on_rules
};

/* ---- beginning and end -------------------------------------------------------------------------------------------- */

/*
 * A web server may have any certificate, also one of a company that looks into everything: who the relay is, its own TLS
 * inside proves, and nothing but that is to be seen.
 */
static int make_web_tls(struct relay *r)
{
	const struct tls_conf conf = { .peer = TLS_PEER_NONE, .min_version = 12, .server_name = r->url.host };
	struct err e;

	return r->url.tls ? tls_ctx_new(&r->web_tls, &conf, &e) : 0;
}

struct relay *relay_new(
	const char *name, const struct uplink_env *env, void (*on_change)(struct relay *r, void *arg), void *arg)
{
	struct relay *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->env = env;
	r->on_change = on_change;
	r->arg = arg;
	r->wanted = 1;
	r->reconnect = true;
	r->backoff_ms = BACKOFF_MS;
	list_init(&r->in);
	list_init(&r->uplinks);
	spares_init(&r->spares);
	str_copy(r->name, sizeof r->name, name);
	if (relay_url_parse(&r->url, name) == 0 && make_web_tls(r) == 0 && add(r, 0) == 0)
		return r;
	relay_free(r);
	return NULL;
}

void relay_free(struct relay *r)
{
	list_remove(&r->in);
	tls_ctx_unref(r->web_tls);
	free(r);
}

void relay_greet_again(struct relay *r)
{
	LIST_FOREACH (it, &r->uplinks)
		uplink_greet_again(uplink_in(it));
	spares_greet_again(&r->spares);
}

/* Ends come at the end of the round, so the list stays as it is meanwhile. */
void relay_retire(struct relay *r, const char *why)
{
	r->closing = true;
	LIST_FOREACH (it, &r->uplinks)
		uplink_retire(uplink_in(it), why);
	spares_retire(&r->spares, why);
}

void relay_close(struct relay *r, const char *why)
{
	r->closing = true;
	LIST_FOREACH (it, &r->uplinks)
		uplink_close(uplink_in(it), why);
	spares_close(&r->spares, why);
}

bool relay_is_over(const struct relay *r)
{
	return (r->closing || r->refused) && list_empty(&r->uplinks) && spares_are_over(&r->spares);
}

void relay_retry(struct relay *r)
{
	r->refused = r->lost = r->stranger = false;
	r->unknown_ns = 0;
	r->attempt = 0;
	settle(r, 0);
}

/* ---- for people --------------------------------------------------------------------------------------------------- */

static const char *state_of(const struct relay *r)
{
	if (r->closing)
		return "leaving";
	if (r->refused)
		return "refused";
	return relay_links_up(r) > 0 ? "up" : count(r, UPLINK_DIALLING, UPLINK_GREETING) > 0 ? "connecting" : "waiting";
}

static void print_uplink(const struct uplink *u, struct buf *b)
{
	char to[ADDR_STRLEN] = "";

	if (u->to.len != 0)
		addr_print(&u->to, to);
	jsonw_object(b, NULL);
	jsonw_str(b, "state", uplink_state_name(u));
	jsonw_str_or_null(b, "address", to);
	jsonw_time(b, "since", u->since_ms);
	if (u->state == UPLINK_UP || u->state == UPLINK_LEAVING) {
		jsonw_uint(b, "rtt_us", u->link.rtt_us);
		jsonw_uint(b, "streams", mux_count(&u->link.mux));
		jsonw_uint(b, "bytes_in", u->link.bytes_in);
		jsonw_uint(b, "bytes_out", u->link.out.bytes);
	} else if (u->state == UPLINK_WAITING) {
		uint64_t now = u->env->worker->now_ns;

		jsonw_uint(b, "dials_in_ms", u->start_ns > now ? (u->start_ns - now) / 1000000 : 0);
	}
	jsonw_end_object(b);
}

void relay_print(const struct relay *r, struct buf *b)
{
	unsigned ready, busy;

	spares_count(&r->spares, &ready, &busy);
	jsonw_object(b, NULL);
	jsonw_str(b, "relay", r->name);
	jsonw_str_or_null(b, "node", r->node);
	jsonw_str(b, "state", state_of(r));
	jsonw_uint(b, "links_wanted", target(r));
	jsonw_uint(b, "own_links_ready", ready); /* for connections that get one of their own */
	jsonw_uint(b, "own_links_used", busy);
	jsonw_str_or_null(b, "last_error", r->last_error);
	jsonw_time(b, "last_error_at", r->last_error_ms);
	jsonw_array(b, "links");
	LIST_FOREACH (it, &r->uplinks)
		print_uplink(uplink_in(it), b);
	jsonw_end_array(b);
	jsonw_end_object(b);
}
