#include "relayd/tunnel/client_gate.h"

#include "common/base/str.h"
#include "proto/client_conf.h"

#include <stdlib.h>

struct client_gate *client_gate_new(const char *id)
{
	struct client_gate *g = calloc(1, sizeof *g);

	if (g == NULL)
		return NULL;
	str_copy(g->id, sizeof g->id, id);
	rate_init(&g->rate[0]);
	rate_init(&g->rate[1]);
	g->refs = 1;
	return g;
}

struct client_gate *client_gate_ref(struct client_gate *g)
{
	__atomic_fetch_add(&g->refs, 1, __ATOMIC_RELAXED);
	return g;
}

void client_gate_unref(struct client_gate *g)
{
	if (g == NULL || __atomic_fetch_sub(&g->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	rate_fini(&g->rate[0]);
	rate_fini(&g->rate[1]);
	free(g);
}

void client_gate_set(struct client_gate *g, const struct client_conf *conf, uint64_t now_ns)
{
	if (conf->rate_in != g->rate[0].per_s)
		rate_set(&g->rate[0], conf->rate_in, now_ns);
	if (conf->rate_out != g->rate[1].per_s)
		rate_set(&g->rate[1], conf->rate_out, now_ns);
	__atomic_store_n(&g->max, conf->max_connections, __ATOMIC_RELAXED);
}

bool client_gate_enter(struct client_gate *g)
{
	uint32_t max = __atomic_load_n(&g->max, __ATOMIC_RELAXED);

	if (__atomic_add_fetch(&g->now, 1, __ATOMIC_RELAXED) <= max || max == 0)
		return true;
	client_gate_leave(g);
	return false;
}

void client_gate_leave(struct client_gate *g)
{
	__atomic_sub_fetch(&g->now, 1, __ATOMIC_RELAXED);
}
