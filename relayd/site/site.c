#include "relayd/site/site.h"

#include "common/base/str.h"
#include "relayd/site/site_tls.h"

#include <stdlib.h>
#include <string.h>

struct site *site_new(const char *host, unsigned workers)
{
	struct site *s = calloc(1, sizeof *s + workers * sizeof s->seats[0]);

	if (s == NULL)
		return NULL;
	str_copy(s->host, sizeof s->host, host);
	s->workers = workers;
	list_init(&s->todo);
	for (unsigned i = 0; i < workers; i++)
		s->seats[i].site = s;
	return s;
}

void site_free(struct site *s)
{
	if (s == NULL)
		return;
	for (int way = 0; way < SITE_WAYS; way++) {
		route_table_free(s->tables[way]);
		route_table_free(s->old[way]);
	}
	site_tls_free(s->tls);
	site_tls_free(s->old_tls);
	free(s->routes);
	free(s);
}

static bool stands_before(const struct http_route *a, const struct http_route *b)
{
	if (a->conf->priority != b->conf->priority)
		return a->conf->priority < b->conf->priority;
	return strcmp(http_route_id(a), http_route_id(b)) < 0;
}

int site_add(struct site *s, struct http_route *r)
{
	uint32_t at;

	if (s->n == s->cap) {
		const uint32_t cap = s->cap * 2 + 4;
		struct http_route **more = reallocarray(s->routes, cap, sizeof(*more));

		if (more == NULL)
			return -1;
		s->routes = more;
		s->cap = cap;
	}
	for (at = s->n; at > 0 && stands_before(r, s->routes[at - 1]); at--)
		s->routes[at] = s->routes[at - 1];
	s->routes[at] = r;
	s->n++;
	return 0;
}

void site_remove(struct site *s, const struct http_route *r)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->routes[i] != r)
			continue;
		memmove(&s->routes[i], &s->routes[i + 1], (s->n - i - 1) * sizeof(*s->routes));
		s->n--;
		return;
	}
}

/* In clear there are also those that lead to TLS: they answer with a redirect. */
static bool goes(const struct http_route *r, enum site_way way)
{
	return r->conf->enabled && (way == SITE_CLEAR || r->conf->ssl != ROUTE_SSL_OFF);
}

/*
 * Of two that ask for the same, one in clear and one for TLS only, the latter's redirect must not stand before what is really
 * served in clear: those for TLS only come last there.
 */
static int make_table(struct route_table **out, const struct site *s, enum site_way way, struct route_match *matches)
{
	size_t n = 0;

	for (int only = 0; only < 2; only++)
		for (uint32_t i = 0; i < s->n; i++) {
			const bool last = way == SITE_CLEAR && s->routes[i]->conf->ssl == ROUTE_SSL_ONLY;

			if (goes(s->routes[i], way) && last == (only == 1))
				http_route_match(s->routes[i], &matches[n++]);
		}
	*out = NULL;
	return n > 0 ? route_table_new(out, matches, n) : 0;
}

int site_prepare(struct site *s)
{
	struct route_match *matches = calloc(s->n + 1, sizeof *matches);
	struct route_table *made[SITE_WAYS] = { NULL };
	struct site_tls *tls = NULL;
	int rc = matches != NULL ? site_tls_new(&tls, s->routes, s->n) : -1;

	for (int way = 0; way < SITE_WAYS && rc == 0; way++)
		rc = make_table(&made[way], s, (enum site_way)way, matches);
	free(matches);
	for (int way = 0; way < SITE_WAYS; way++) {
		if (rc != 0) {
			route_table_free(made[way]);
			continue;
		}
		s->old[way] = s->tables[way];
		s->tables[way] = made[way];
	}
	if (rc == 0) {
		s->old_tls = s->tls;
		s->tls = tls;
	} else {
		site_tls_free(tls);
	}
	return rc;
}

void site_switch(struct site *s, unsigned worker)
{
	for (int way = 0; way < SITE_WAYS; way++)
		s->seats[worker].tables[way] = s->tables[way];
	s->seats[worker].tls = s->tls;
}

void site_commit(struct site *s)
{
	for (int way = 0; way < SITE_WAYS; way++) {
		route_table_free(s->old[way]);
		s->old[way] = NULL;
	}
	site_tls_free(s->old_tls);
	s->old_tls = NULL;
}

struct http_route *site_find(
	const struct site_seat *s, enum site_way way, struct http_span path, const struct http_head *h)
{
	return s->tables[way] != NULL ? route_table_find(s->tables[way], "", path, h) : NULL;
}
