#include "controld/identity/tenant_plan.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/tenant.h"

#include <pthread.h>
#include <stdlib.h>

#define SLOTS   1024 /* direct-mapped: two tenants that fall into one push each other out */
#define KEEP_MS 5000

struct slot {
	char tenant_id[RAND_ID_SIZE];
	uint64_t per_hour;
	uint64_t until_ms; /* monotonic */
};

struct tenant_plans {
	struct store *store;
	pthread_mutex_t lock; /* of the slots */
	struct slot slots[SLOTS];
};

int tenant_plans_new(struct tenant_plans **out, struct store *store, struct err *e)
{
	struct tenant_plans *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "plans of tenants: out of memory");
	p->store = store;
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

void tenant_plans_free(struct tenant_plans *p)
{
	if (p == NULL)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct slot *slot_of(struct tenant_plans *p, const char *tenant_id)
{
	uint32_t h = 2166136261u;

	for (; *tenant_id != '\0'; tenant_id++)
		h = (h ^ (unsigned char)*tenant_id) * 16777619u;
	return &p->slots[h % SLOTS];
}

static uint64_t read_plan(struct tenant_plans *p, const char *tenant_id)
{
	struct tenant t;
	struct db *db;
	struct err e;
	int rc;

	if (store_read_begin(p->store, &db, &e) != 0)
		return 0;
	rc = tenant_get(db, "", tenant_id, &t, &e);
	store_read_end(db);
	return rc == 0 ? tenant_plan_per_hour(t.plan) : 0;
}

uint64_t tenant_plans_per_hour(struct tenant_plans *p, const char *tenant_id)
{
	struct slot *s = slot_of(p, tenant_id);
	const uint64_t now_ms = clock_mono_ms();
	uint64_t per_hour;
	bool known;

	if (tenant_id[0] == '\0')
		return 0;
	pthread_mutex_lock(&p->lock);
	known = str_eq(s->tenant_id, tenant_id) && s->until_ms > now_ms;
	per_hour = s->per_hour;
	pthread_mutex_unlock(&p->lock);
	if (known)
		return per_hour;
	per_hour = read_plan(p, tenant_id);
	pthread_mutex_lock(&p->lock);
	(void)str_copy(s->tenant_id, sizeof s->tenant_id, tenant_id);
	s->per_hour = per_hour;
	s->until_ms = now_ms + KEEP_MS;
	pthread_mutex_unlock(&p->lock);
	return per_hour;
}

void tenant_plans_forget(struct tenant_plans *p)
{
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < SLOTS; i++)
		p->slots[i].until_ms = 0;
	pthread_mutex_unlock(&p->lock);
}
