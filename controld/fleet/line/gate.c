#include "controld/fleet/line/gate.h"

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/net/bucket.h"
#include "controld/fleet/line/source.h"

#include <stdlib.h>

#define NS_PER_MS UINT64_C(1000000)

struct gate_address {
	struct source source;
	struct bucket bucket;
};

struct gate {
	struct gate_conf conf;
	struct bucket total;
	struct map addresses;
};

int gate_new(struct gate **out, const struct gate_conf *c, uint64_t now_ns, struct err *e)
{
	struct gate *g = calloc(1, sizeof *g);

	if (g == NULL)
		return err_set(e, ERR_NOMEM, NULL, "gate: out of memory");
	g->conf = *c;
	bucket_init(&g->total, c->total, c->total, now_ns);
	map_init(&g->addresses);
	*out = g;
	return 0;
}

void gate_free(struct gate *g)
{
	struct gate_address *a;
	size_t it = 0;

	if (g == NULL)
		return;
	while ((a = map_next(&g->addresses, &it)) != NULL)
		free(a);
	map_free(&g->addresses);
	free(g);
}

/* An address whose bucket is full again need not be remembered. */
static void sweep(struct gate *g, uint64_t now_ns)
{
	struct gate_address *a, *idle[64];
	size_t it, n;

	do {
		n = 0;
		it = 0;
		while (n < ARRAY_LEN(idle) && (a = map_next(&g->addresses, &it)) != NULL)
			if (bucket_wait_ns(&a->bucket, a->bucket.burst, now_ns) == 0)
				idle[n++] = a;
		for (size_t i = 0; i < n; i++) {
			map_remove(&g->addresses, &idle[i]->source, sizeof idle[i]->source);
			free(idle[i]);
		}
	} while (n == ARRAY_LEN(idle));
}

static struct gate_address *address_get(struct gate *g, const struct addr *from, uint64_t now_ns)
{
	const struct source source = source_of(from);
	struct gate_address *a = map_get(&g->addresses, &source, sizeof source);

	if (a != NULL)
		return a;
	if (map_count(&g->addresses) >= GATE_ADDRESSES_MAX)
		sweep(g, now_ns);
	if (map_count(&g->addresses) >= GATE_ADDRESSES_MAX || (a = calloc(1, sizeof *a)) == NULL)
		return NULL;
	a->source = source;
	bucket_init(&a->bucket, g->conf.per_address, g->conf.per_address, now_ns);
	if (map_put(&g->addresses, &a->source, sizeof a->source, a, NULL) == 0)
		return a;
	free(a);
	return NULL;
}

static bool refuse(struct bucket *b, uint64_t now_ns, uint32_t *retry_ms)
{
	*retry_ms = (uint32_t)(bucket_wait_ns(b, 1, now_ns) / NS_PER_MS) + 1;
	return false;
}

bool gate_admits(struct gate *g, const struct addr *from, uint64_t now_ns, uint32_t *retry_ms)
{
	struct gate_address *a;

	if (bucket_wait_ns(&g->total, 1, now_ns) > 0)
		return refuse(&g->total, now_ns, retry_ms);
	if (!source_is_here(from)) {
		a = address_get(g, from, now_ns);
		if (a == NULL) {
			*retry_ms = 1000;
			return false;
		}
		if (bucket_take(&a->bucket, 1, 1, now_ns) == 0)
			return refuse(&a->bucket, now_ns, retry_ms);
	}
	return bucket_take(&g->total, 1, 1, now_ns) == 1;
}
