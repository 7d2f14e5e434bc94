#include "controld/rest/call_rate.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/rest/call.h"
#include "controld/rest/rate_limit.h"
#include "controld/rest/rest_metrics.h"

#include <event2/http.h>
#include <inttypes.h>

static const char *who_of(const struct identity *id)
{
	return id->api_key || id->user_id[0] == '\0' ? id->token_id : id->user_id;
}

static int limited(struct call_rates *r, struct call *c, const char *reason, uint64_t wait_ms, struct err *e)
{
	reply_retry_after(&c->rp, wait_ms);
	rest_metrics_refused(r->metrics, reason);
	return err_set(
		e, ERR_RATE_LIMITED, NULL, "too many requests; try again in %" PRIu64 " s", (wait_ms + 999) / 1000);
}

/* What a row says takes the place of what a plan says: it is the one that is nearer. */
static void header_u64(struct call *c, const char *name, uint64_t v)
{
	char text[24];

	(void)str_fmt(text, sizeof text, "%" PRIu64, v);
	(void)evhttp_remove_header(&c->rp.headers, name);
	reply_header(&c->rp, name, text);
}

int call_rate_address(struct call_rates *r, struct call *c, struct err *e)
{
	const struct server_conf *conf = c->conf;
	const uint64_t now_ns = clock_mono_ns();
	char ip[ADDR_STRLEN], key[RATE_LIMIT_KEY_MAX];
	uint64_t wait_ms = 0;

	if (conf->per_address.rate == 0 && conf->login_per_address.rate == 0)
		return 0;
	addr_print_site(&c->rq.peer, ip);
	(void)str_fmt(key, sizeof key, "a:%s", ip);
	wait_ms = rate_limit_take(r->all, key, conf->per_address.rate, conf->per_address.burst, now_ns);
	if (wait_ms == 0 && c->entry != NULL && (c->entry->route->flags & ROUTE_LOGIN) != 0) {
		key[0] = 'l';
		wait_ms = rate_limit_take(
			r->all, key, conf->login_per_address.rate, conf->login_per_address.burst, now_ns);
	}
	return wait_ms > 0 ? limited(r, c, "rate", wait_ms, e) : 0;
}

/* The hour of a tenant's plan; tenants without one get no header, and agents are not counted. */
static int count_plan(struct call_rates *r, struct call *c, const char *key, struct err *e)
{
	const int64_t now_s = clock_wall_ms() / 1000;
	struct rate_window w;
	uint64_t per_hour;

	if (r->plans.per_hour == NULL || identity_client(&c->rq.identity) != 0)
		return 0;
	per_hour = r->plans.per_hour(r->plans.self, c->rq.identity.tenant_id);
	if (per_hour == 0)
		return 0;
	rate_limit_count(r->all, key, per_hour, now_s, &w);
	header_u64(c, "X-RateLimit-Limit", w.limit);
	header_u64(c, "X-RateLimit-Remaining", w.remaining);
	header_u64(c, "X-RateLimit-Reset", (uint64_t)w.reset_s);
	header_u64(c, "X-RateLimit-Window", RATE_LIMIT_WINDOW_S);
	return w.refused ? limited(r, c, "plan", (uint64_t)(w.reset_s - now_s) * 1000, e) : 0;
}

int call_rate_identity(struct call_rates *r, struct call *c, struct err *e)
{
	char key[RATE_LIMIT_KEY_MAX];
	uint64_t wait_ms;

	if (!c->rq.has_identity)
		return 0;
	(void)str_fmt(key, sizeof key, "i:%s", who_of(&c->rq.identity));
	wait_ms = rate_limit_take(r->all, key, c->rate.rate, c->rate.burst, clock_mono_ns());
	if (wait_ms > 0)
		return limited(r, c, "rate", wait_ms, e);
	return count_plan(r, c, key, e);
}

int call_rate_row(struct call_rates *r, struct call *c, struct err *e)
{
	const uint64_t said = ROUTE_PER_MINUTE_OF(c->entry->route);
	const uint64_t per_minute =
		said == 0 || c->row_rate_percent == 0 ? 0 : MAX(said * c->row_rate_percent / 100, 1);
	char who[ADDR_STRLEN], key[RATE_LIMIT_KEY_MAX];
	struct rate_left left;

	if (per_minute == 0)
		return 0;
	addr_print_site(&c->rq.peer, who);
	(void)str_fmt(key, sizeof key, "r%zx:%s", c->entry->index, c->rq.has_identity ? who_of(&c->rq.identity) : who);
	rate_limit_take_of(r->all, key, per_minute, clock_mono_ns(), &left);
	header_u64(c, "X-RateLimit-Limit", per_minute);
	header_u64(c, "X-RateLimit-Remaining", left.remaining);
	header_u64(c, "X-RateLimit-Reset", (uint64_t)(clock_wall_ms() / 1000) + (left.full_ms + 999) / 1000);
	header_u64(c, "X-RateLimit-Window", 60);
	return left.wait_ms > 0 ? limited(r, c, "row_rate", left.wait_ms, e) : 0;
}
