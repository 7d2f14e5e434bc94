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

bool gate_lists(const struct mapping_conf *conf, const struct addr *a)
{
	if (cidr_match_any(conf->deny.items, conf->deny.n, a))
		return false;
	return conf->allow.n == 0 || cidr_match_any(conf->allow.items, conf->allow.n, a);
}

static enum meter_counter identify(
	struct gate *g, const struct mapping_conf *conf, const struct addr *a, uint64_t now_ns, struct gate_pass *pass)
{
	if (!gate_lists(conf, a))
		return METER_refused_cidr;
	if (!limits_sources(conf))
		return METER_opened;
	if (g->sources == NULL)
		return METER_refused_resource;
	pass->source = source_table_enter(g->sources, a, conf->max_per_source, conf->rate_per_source, now_ns);
	return pass->source != NULL ? METER_opened : METER_refused_source;
}

bool gate_admit(struct gate *g, unsigned worker, const struct mapping_conf *conf, const struct addr *source,
	uint64_t now_ns, struct gate_pass *pass)
{
	enum meter_counter what;

	*pass = (struct gate_pass){ .in = false };
	what = identify(g, conf, source, now_ns, pass);
	if (what != METER_opened)
		meter_add(&g->slot, worker, what, 1);
	return what == METER_opened;
}

bool gate_take_place(
	struct gate *g, unsigned worker, const struct mapping_conf *conf, uint64_t now_ns, struct gate_pass *pass)
{
	uint32_t now = __atomic_add_fetch(&g->now, 1, __ATOMIC_RELAXED);

	if (conf->max_connections != 0 && now > conf->max_connections) {
		__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
		meter_add(&g->slot, worker, METER_refused_limit, 1);
		gate_leave(g, worker, now_ns, pass);
		return false;
	}
	meter_add(&g->slot, worker, METER_opened, 1);
	pass->in = true;
	return true;
}

bool gate_enter(struct gate *g, unsigned worker, const struct mapping_conf *conf, const struct addr *source,
	uint64_t now_ns, struct gate_pass *pass)
{
	return gate_admit(g, worker, conf, source, now_ns, pass) && gate_take_place(g, worker, conf, now_ns, pass);
}

void gate_leave(struct gate *g, unsigned worker, uint64_t now_ns, struct gate_pass *pass)
{
	if (pass->source != NULL)
		source_table_leave(g->sources, pass->source, now_ns);
	if (pass->in) {
		__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
		meter_add(&g->slot, worker, METER_closed, 1);
	}
	*pass = (struct gate_pass){ .in = false };
}

bool gate_is_full(const struct gate *g, const struct mapping_conf *conf)
{
	return conf->max_connections != 0 && gate_now(g) >= conf->max_connections;
}

uint32_t gate_now(const struct gate *g)
{
	return __atomic_load_n(&g->now, __ATOMIC_RELAXED);
}
