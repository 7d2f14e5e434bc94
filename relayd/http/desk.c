#include "relayd/http/desk.h"

#include "common/base/hex.h"
#include "common/base/rand.h"
#include "relayd/http/exchange_inside.h"
#include "relayd/http/h1_back.h"
#include "relayd/http/h1_front.h"
#include "relayd/http/h2_front.h"
#include "relayd/http/h2_out.h"
#include "relayd/loop/service.h"
#include "relayd/vhost/front.h"

#include <stdlib.h>

struct http_desk *desk_new(struct worker *w, const struct service_env *env, const struct http_conf *conf)
{
	struct http_desk *d = calloc(1, sizeof *d);
	uint64_t seed, prefix;

	if (d == NULL)
		return NULL;
	d->worker = w;
	d->conf = conf;
	d->agents = env->agents;
	d->certs = env->certs;
	d->filters = conf->filters;
	for (int i = 0; i < FRONTS_N; i++)
		d->seats[i] = front_seat(env->fronts[i], w);
	slab_init(&d->exchanges, sizeof(struct exchange) + (d->filters != NULL ? d->filters->state_size : 0));
	slab_init(&d->fronts, h1_front_size());
	slab_init(&d->backs, h1_back_size());
	slab_init(&d->calls, h2_call_size());
	slab_init(&d->streams, h2_stream_size());
	slab_init(&d->askings, h2_asking_size());
	list_init(&d->connections);
	list_init(&d->h2_fronts);
	list_init(&d->tls_gates);
	list_init(&d->backs_all);
	h1_idle_init(d);
	list_init(&d->mirrors);
	list_init(&d->probes);
	rand_bytes(&seed, sizeof seed);
	rand_bytes(&prefix, sizeof prefix);
	hex_u64(d->id_prefix, prefix);
	lb_rand_init(&d->rand, seed);
	return d;
}

void desk_free(struct http_desk *d)
{
	if (d == NULL)
		return;
	h1_idle_fini(d);
	slab_fini(&d->exchanges);
	slab_fini(&d->fronts);
	slab_fini(&d->backs);
	slab_fini(&d->calls);
	slab_fini(&d->streams);
	slab_fini(&d->askings);
	blocks_fini(&d->blocks);
	free(d);
}
