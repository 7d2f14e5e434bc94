#include "controld/balancer/tenant_rate.h"

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "controld/tunnels/traffic.h"

#include <pthread.h>
#include <stdlib.h>

#define APART_MS 30000 /* between two samples that are kept */
#define MOVED_MS 90000 /* a total that stood still for longer has a rate of nothing */

enum { SQL_MOVED };
static const char *const sql[] = {
	[SQL_MOVED] = "SELECT t.id, " TRAFFIC_COLUMNS
		      " FROM traffic t WHERE t.scope = 'tenant' AND t.updated_ms > ?1 LIMIT 10000",
};
const struct sql_table tenant_rate_sql = { "tenant_rate", sql, ARRAY_LEN(sql) };

struct sample {
	int64_t time_ms; /* 0: none */
	int64_t requests, errors, answers, answer_us;
};

struct pace {
	char tenant_id[PROTO_ID_SIZE];
	struct sample older, newer;
};

struct tenant_rates {
	pthread_mutex_t lock;
	struct map paces; /* by tenant */
};

int tenant_rates_new(struct tenant_rates **out, struct err *e)
{
	struct tenant_rates *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "rates of tenants: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	map_init(&r->paces);
	*out = r;
	return 0;
}

void tenant_rates_free(struct tenant_rates *r)
{
	struct pace *p;

	if (r == NULL)
		return;
	for (size_t it = 0; (p = map_next(&r->paces, &it)) != NULL;)
		free(p);
	map_free(&r->paces);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct sample sample_of(const struct traffic *t, int64_t now_ms)
{
	struct sample s = { .time_ms = now_ms,
		.requests = traffic_value(t, "requests"),
		.errors = traffic_value(t, "answers_5xx"),
		.answer_us = traffic_value(t, "answer_us") };

	s.answers = traffic_value(t, "answers_2xx") + traffic_value(t, "answers_3xx") +
	            traffic_value(t, "answers_4xx") + s.errors;
	return s;
}

static struct pace *pace_of(struct tenant_rates *r, const char *tenant_id)
{
	struct pace *p = map_get_str(&r->paces, tenant_id);

	if (p != NULL)
		return p;
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	(void)str_copy(p->tenant_id, sizeof p->tenant_id, tenant_id);
	if (map_put_str(&r->paces, p->tenant_id, p, NULL) == 0)
		return p;
	free(p);
	return NULL;
}

static void take(struct tenant_rates *r, const char *tenant_id, const struct traffic *t, int64_t now_ms)
{
	struct pace *p = pace_of(r, tenant_id);

	if (p == NULL || (p->newer.time_ms != 0 && now_ms - p->newer.time_ms < APART_MS))
		return;
	p->older = p->newer;
	p->newer = sample_of(t, now_ms);
}

int tenant_rates_tick(struct tenant_rates *r, struct db *db, int64_t now_ms, struct err *e)
{
	struct traffic t;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_MOVED], e, bind_i(now_ms - MOVED_MS)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		traffic_load(&t, q, 1);
		pthread_mutex_lock(&r->lock);
		take(r, query_text(q, 0), &t, now_ms);
		pthread_mutex_unlock(&r->lock);
	}
	query_end(q);
	return rc;
}

void tenant_rates_get(struct tenant_rates *r, const char *tenant_id, const struct traffic *now, int64_t now_ms,
	struct tenant_rate *out)
{
	const struct sample to = sample_of(now, now_ms);
	struct sample from = { .time_ms = 0 };
	const struct pace *p;

	*out = (struct tenant_rate){ 0 };
	pthread_mutex_lock(&r->lock);
	p = map_get_str(&r->paces, tenant_id);
	if (p != NULL)
		from = p->older.time_ms != 0 && now_ms - p->older.time_ms < MOVED_MS ? p->older : p->newer;
	pthread_mutex_unlock(&r->lock);
	if (from.time_ms == 0 || to.time_ms <= from.time_ms || to.requests <= from.requests)
		return;
	out->requests_per_second = (double)(to.requests - from.requests) * 1000 / (double)(to.time_ms - from.time_ms);
	if (to.answers <= from.answers)
		return;
	out->response_time_ms = (double)(to.answer_us - from.answer_us) / 1000 / (double)(to.answers - from.answers);
	out->error_rate = (double)(to.errors - from.errors) / (double)(to.answers - from.answers);
}
