#include "relayd/http/http_service_inside.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "relayd/conf/object.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/http/exchange.h"
#include "relayd/http/exchange_probe.h"
#include "relayd/http/filter.h"
#include "relayd/http/h1_back.h"
#include "relayd/http/mirror.h"
#include "relayd/http/where.h"
#include "relayd/limit/quotas.h"
#include "relayd/loop/workers.h"
#include "relayd/vhost/front.h"

#include <stdlib.h>

/* ---- pools ---------------------------------------------------------------------------------------------------------- */

static void refuse(struct http_service *s, const struct object *o, const struct err *why)
{
	refusals_set(s->env.refusals, o, why);
	log_debug("object_refused", log_s("object", o->id), log_s("reason", why->msg));
}

static void add_pool(struct http_service *s, struct pool *p)
{
	list_remove(&p->todo);
	list_push_back(&s->pools_todo, &p->todo);
}

/* As long as it is in the configuration it has a reference. */
static void set_pool(struct http_service *s, const struct object *o)
{
	struct err why = { .code = ERR_NONE };
	struct pool *p;

	if (pool_get(&p, &s->pools, &s->site, o->id, &why) != 0) {
		refuse(s, o, &why);
		return;
	}
	if (pool_prepare(p, &s->site, o, &why) != 0) {
		refuse(s, o, &why);
		pool_unref(p);
		return;
	}
	refusals_clear(s->env.refusals, o->id);
	if (p->old != NULL)
		pool_unref(p); /* the reference is there */
	add_pool(s, p);
}

static void remove_pool(struct http_service *s, const char *id)
{
	struct pool *p = map_get_str(&s->pools, id);

	refusals_clear(s->env.refusals, id);
	if (p == NULL || p->version == NULL)
		return;
	if (s->observer.pool_gone != NULL)
		s->observer.pool_gone(s->observer.arg, p);
	pool_prepare_gone(p);
	add_pool(s, p);
}

/* ---- routes and their hosts ----------------------------------------------------------------------------------------- */

static struct site *get_site(struct http_service *s, const char *host)
{
	struct site *site = map_get_str(&s->sites, host);

	if (site == NULL) {
		site = site_new(host, workers_count(s->env.workers));
		if (site != NULL && map_put_str(&s->sites, site->host, site, NULL) != 0) {
			site_free(site);
			site = NULL;
		}
	}
	return site;
}

static void touch(struct http_service *s, struct site *site)
{
	list_remove(&site->todo);
	list_push_back(&s->sites_todo, &site->todo);
}

static int join_sites(struct http_service *s, struct http_route *r)
{
	for (uint32_t i = 0; i < r->conf->n_hosts; i++) {
		struct site *site = get_site(s, r->conf->hosts[i]);

		if (site == NULL || site_add(site, r) != 0)
			return -1;
		touch(s, site);
	}
	return 0;
}

static void leave_sites(struct http_service *s, const struct http_route *r)
{
	for (uint32_t i = 0; i < r->conf->n_hosts; i++) {
		struct site *site = map_get_str(&s->sites, r->conf->hosts[i]);

		if (site == NULL)
			continue;
		site_remove(site, r);
		touch(s, site);
	}
}

static void remove_route(struct http_service *s, const char *id)
{
	struct http_route *r = map_remove_str(&s->routes, id);

	refusals_clear(s->env.refusals, id);
	if (r == NULL)
		return;
	leave_sites(s, r);
	list_push_back(&s->routes_gone, &r->todo);
}

static int make_filters(
	const struct http_service *s, struct http_route *r, const struct http_route *before, struct err *e)
{
	const struct http_filter_route route = {
		.id = http_route_id(r), .conf = r->conf, .before = before != NULL ? before->filters : NULL
	};

	if (s->conf->filters == NULL)
		return 0;
	r->filters_free = s->conf->filters->route_free;
	return s->conf->filters->route_new(s->conf->filters->arg, &r->filters, &route, e);
}

static void set_route(struct http_service *s, const struct object *o)
{
	const struct http_route *const before =
		map_get_str(&s->routes, o->id); /* goes when the change is carried out */
	struct err why = { .code = ERR_NONE };
	struct http_route *r;

	remove_route(s, o->id);
	if (http_route_new(&r, &s->site, &s->pools, o, &why) != 0) {
		refuse(s, o, &why);
		return;
	}
	r->requests = quotas_get_requests(s->env.quotas, r->conf->account);
	if (make_filters(s, r, before, &why) != 0) {
		refuse(s, o, &why);
	} else if (join_sites(s, r) != 0 || map_put_str(&s->routes, http_route_id(r), r, NULL) != 0) {
		err_set(&why, ERR_NOMEM, NULL, "out of memory for this route");
		refuse(s, o, &why);
		leave_sites(s, r);
	} else {
		return;
	}
	list_push_back(&s->routes_gone, &r->todo);
}

static void on_difference(const struct object *old, const struct object *new_, void *arg)
{
	struct http_service *s = arg;

	if (old != NULL && old->kind == OBJECT_ROUTE && (new_ == NULL || new_->kind != OBJECT_ROUTE))
		remove_route(s, old->id);
	if (old != NULL && old->kind == OBJECT_POOL && (new_ == NULL || new_->kind != OBJECT_POOL))
		remove_pool(s, old->id);
	if (new_ != NULL && new_->kind == OBJECT_POOL)
		set_pool(s, new_);
	if (new_ != NULL && new_->kind == OBJECT_ROUTE)
		set_route(s, new_);
}

/* ---- names on the shared port --------------------------------------------------------------------------------------- */

static void tell_routes(struct http_service *s, const struct site *site, const struct err *why)
{
	for (uint32_t i = 0; i < site->n; i++) {
		if (why != NULL)
			refuse(s, site->routes[i]->object, why);
		else
			refusals_clear(s->env.refusals, http_route_id(site->routes[i]));
	}
}

/* A host of routes is claimed once, as the host of a mapping is; "*" is nobody's name. */
static struct front *front_of(const struct http_service *s, enum site_way way)
{
	return s->env.fronts[way == SITE_TLS ? FRONT_TLS : FRONT_HTTP];
}

static int claim_way(struct http_service *s, struct site *site, enum site_way way, struct err *why)
{
	struct front *f = front_of(s, way);
	struct mapping_hosts one = { .items = &site->host, .n = 1 };
	struct front_claim *c = NULL;

	if (site->claims[way] != NULL || !site_is_open(site, way))
		return 0;
	if (front_open(f, why) != 0 || (!str_eq(site->host, "*") && front_claim(f, &one, site->host, &c, why) != 0))
		return -1;
	site->claims[way] = c != NULL ? (void *)c : (void *)site;
	return 1;
}

static void claim(struct http_service *s, struct site *site)
{
	struct err why = { .code = ERR_NONE };
	bool refused = false, claimed = false;

	for (int way = 0; way < SITE_WAYS; way++) {
		const int rc = claim_way(s, site, (enum site_way)way, &why);

		refused |= rc < 0;
		claimed |= rc > 0;
	}
	if (refused)
		tell_routes(s, site, &why);
	else if (claimed)
		tell_routes(s, site, NULL);
}

static void release(struct http_service *s, struct site *site, enum site_way way)
{
	if (site->claims[way] != NULL && site->claims[way] != site)
		front_release(front_of(s, way), site->claims[way]);
	site->claims[way] = NULL;
}

/* ---- carried out on every worker ------------------------------------------------------------------------------------ */

static void close_idle(struct backend_seat *seat, struct worker *w)
{
	struct list *first;

	(void)w;
	while ((first = list_first(&seat->idle)) != NULL)
		h1_back_close(h1_back_of_idle(first), false);
}

/* The host's connections come here from the moment on when it has routes, and no more when it has none. */
static void switch_way(struct http_service *s, struct site *site, struct worker *w, enum site_way way)
{
	struct site_seat *seat = &site->seats[w->index];
	struct where *here = seat->owners[way];

	if (site->claims[way] != NULL && site_is_open(site, way) && here == NULL) {
		here = malloc(sizeof *here);
		if (here == NULL || where_open(here, seat, s->desks[w->index], way) != 0) {
			log_error("host_not_served", log_s("host", site->host), log_s("reason", "out of memory"));
			free(here);
			return;
		}
		seat->owners[way] = here;
	} else if (here != NULL && !site_is_open(site, way)) {
		where_close(here);
		free(here);
		seat->owners[way] = NULL;
	}
}

static void switch_site(struct http_service *s, struct site *site, struct worker *w)
{
	site_switch(site, w->index);
	for (int way = 0; way < SITE_WAYS; way++)
		switch_way(s, site, w, (enum site_way)way);
}

/* Of a route that is off now, what runs is ended; of one that is only gone or changed it may come to its end. */
static void leave_route(struct http_service *s, struct http_route *r, struct worker *w)
{
	const struct http_route *next = map_get_str(&s->routes, http_route_id(r));
	struct list *first;

	if (next != NULL && !next->conf->enabled)
		while ((first = list_first(&r->seats[w->index].exchanges)) != NULL)
			exchange_cut_in_route(first);
	if (next != NULL && !next->conf->enabled)
		mirror_cut_route(s->desks[w->index], r);
	http_route_leave(r, w->index);
}

static void work_switch(struct worker *w, void *arg)
{
	struct http_service *s = arg;

	LIST_FOREACH (it, &s->pools_todo) {
		exchange_probes_cancel(s->desks[w->index], CONTAINER_OF(it, struct pool, todo));
		pool_switch(CONTAINER_OF(it, struct pool, todo), w, close_idle);
	}
	LIST_FOREACH (it, &s->sites_todo)
		switch_site(s, CONTAINER_OF(it, struct site, todo), w);
	LIST_FOREACH (it, &s->routes_gone)
		leave_route(s, CONTAINER_OF(it, struct http_route, todo), w);
}

/* ---- a change as a whole -------------------------------------------------------------------------------------------- */

static void prepare_sites(struct http_service *s)
{
	LIST_FOREACH (it, &s->sites_todo) {
		struct site *site = CONTAINER_OF(it, struct site, todo);
		struct err why = { .code = ERR_NONE };

		if (site_prepare(site) != 0) {
			err_set(&why, ERR_NOMEM, NULL, "out of memory for the routes of %s", site->host);
			tell_routes(s, site, &why);
		}
		claim(s, site);
	}
}

static void commit_pool(struct http_service *s, struct pool *p)
{
	const bool gone = p->version == NULL;

	list_remove(&p->todo);
	pool_commit(p);
	if (gone)
		pool_unref(p);
	else if (s->observer.pool_set != NULL)
		s->observer.pool_set(s->observer.arg, p);
}

static void commit_site(struct http_service *s, struct site *site)
{
	list_remove(&site->todo);
	site_commit(site);
	for (int way = 0; way < SITE_WAYS; way++)
		if (!site_is_open(site, (enum site_way)way))
			release(s, site, (enum site_way)way);
	if (site->n > 0)
		return;
	map_remove_str(&s->sites, site->host);
	site_free(site);
}

static void carry_out(struct http_service *s)
{
	struct list *first;

	prepare_sites(s);
	workers_call(s->env.workers, work_switch, s);
	while ((first = list_first(&s->sites_todo)) != NULL)
		commit_site(s, CONTAINER_OF(first, struct site, todo));
	while ((first = list_first(&s->routes_gone)) != NULL) {
		list_remove(first);
		life_unref(&CONTAINER_OF(first, struct http_route, todo)->life);
	}
	while ((first = list_first(&s->pools_todo)) != NULL)
		commit_pool(s, CONTAINER_OF(first, struct pool, todo));
	lives_reap(&s->site.lives);
}

void http_change_apply(struct http_service *s, struct snapshot *old, struct snapshot *new_)
{
	snapshot_diff(old, new_, on_difference, s);
	if (!list_empty(&s->pools_todo) || !list_empty(&s->sites_todo) || !list_empty(&s->routes_gone))
		carry_out(s);
}

void http_change_retry(struct http_service *s)
{
	struct site *site;
	size_t it = 0;

	while ((site = map_next(&s->sites, &it)) != NULL)
		for (int way = 0; way < SITE_WAYS; way++)
			if (site->claims[way] == NULL && site_is_open(site, (enum site_way)way))
				touch(s, site);
	if (!list_empty(&s->sites_todo))
		carry_out(s);
}

void http_change_end(struct http_service *s)
{
	struct http_route *r;
	struct pool *p;
	size_t it = 0;

	while ((r = map_next(&s->routes, &it)) != NULL) {
		leave_sites(s, r);
		list_push_back(&s->routes_gone, &r->todo);
	}
	it = 0;
	while ((p = map_next(&s->pools, &it)) != NULL) {
		if (p->version == NULL)
			continue;
		pool_prepare_gone(p);
		add_pool(s, p);
	}
	carry_out(s);
}
