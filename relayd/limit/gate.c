#include "relayd/limit/gate.h"

#include "common/net/addr.h"
#include "proto/mapping_conf.h"
#include "relayd/limit/source_table.h"

void gate_init(struct gate *g)
{
	*g = (struct gate){ .now = 0 };
	rate_init(&g->rate[GATE_IN]);
	rate_init(&g->rate[GATE_OUT]);
}

void gate_fini(struct gate *g)
{
	source_table_free(g->sources);
	rate_fini(&g->rate[GATE_IN]);
	rate_fini(&g->rate[GATE_OUT]);
}

static bool limits_sources(const struct mapping_conf *conf)
{
	return conf->max_per_source != 0 || conf->rate_per_source != 0;
}

/* Without memory for the table, connections that need it are refused until the next change. */
void gate_set(struct gate *g, const struct mapping_conf *conf, uint64_t now_ns)
{
	if (limits_sources(conf) && g->sources == NULL && source_table_new(&g->sources) != 0)
		g->sources = NULL;
	if (conf->rate_in != g->rate[GATE_IN].per_s)
		rate_set(&g->rate[GATE_IN], conf->rate_in, now_ns);
	if (conf->rate_out != g->rate[GATE_OUT].per_s)
		rate_set(&g->rate[GATE_OUT], conf->rate_out, now_ns);
}

static bool listed(const struct mapping_conf *conf, const struct addr *a)
{
	if (cidr_match_any(conf->deny.items, conf->deny.n, a))
		return false;
	return conf->allow.n == 0 || cidr_match_any(conf->allow.items, conf->allow.n, a);
}

/* Takes a place below the limit, if there is one. */
static bool take_place(struct gate *g, uint32_t max)
{
	uint32_t now = __atomic_add_fetch(&g->now, 1, __ATOMIC_RELAXED);

	if (max == 0 || now <= max)
		return true;
	__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
	return false;
}

static enum meter_counter decide(
	struct gate *g, const struct mapping_conf *conf, const struct addr *a, uint64_t now_ns, struct gate_pass *pass)
{
	if (!listed(conf, a))
		return METER_refused_cidr;
	if (limits_sources(conf) && g->sources == NULL)
		return METER_refused_resource;
	if (!take_place(g, conf->max_connections))
		return METER_refused_limit;
	if (!limits_sources(conf))
		return METER_opened;
	pass->source = source_table_enter(g->sources, a, conf->max_per_source, conf->rate_per_source, now_ns);
	if (pass->source != NULL)
		return METER_opened;
	__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
	return METER_refused_source;
}

bool gate_enter(struct gate *g, unsigned worker, const struct mapping_conf *conf, const struct addr *source,
	uint64_t now_ns, struct gate_pass *pass)
{
	enum meter_counter what;

	*pass = (struct gate_pass){ .in = false };
	what = decide(g, conf, source, now_ns, pass);
	meter_add(&g->slot, worker, what, 1);
	pass->in = what == METER_opened;
	return pass->in;
}

void gate_leave(struct gate *g, unsigned worker, uint64_t now_ns, struct gate_pass *pass)
{
	if (!pass->in)
		return;
	if (pass->source != NULL)
		source_table_leave(g->sources, pass->source, now_ns);
	__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
	meter_add(&g->slot, worker, METER_closed, 1);
	*pass = (struct gate_pass){ .in = false };
}

uint32_t gate_now(const struct gate *g)
{
	return __atomic_load_n(&g->now, __ATOMIC_RELAXED);
}
