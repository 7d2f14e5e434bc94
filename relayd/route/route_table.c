/*
 *   by_host: "a.example" --> struct host --> prefixes, sorted:  "/"  "/api"  "/api/v2"  "/static"
 *                                                                  ^----'^------'          |
 *                                                                  ^------- parent --------'
 *                            each prefix --> its rules, the most demanding first
 *
 * The last prefix that sorts not behind a path is the path's longest prefix, or has it among its parents: whatever sorts between
 * a prefix of the path and the path begins with that prefix, too.
 */
#include "relayd/route/route_table.h"

#include "common/base/map.h"
#include "common/net/host_name.h"

#include <stdlib.h>
#include <string.h>

#define NO_PARENT UINT32_MAX

struct rule {
	const struct route_match *match; /* a copy */
	enum http_name names[ROUTE_FIELDS_MAX];
};

struct prefix {
	const char *text;
	size_t n;
	uint32_t parent; /* in the host's prefixes: the longest other one that this begins with */
	uint32_t first, rules;
};

struct host {
	const char *name;
	const struct prefix *prefixes;
	uint32_t n;
};

struct route_table {
	struct map by_host;
	const struct host *any; /* "*" */
	bool wild;
	size_t n_hosts;
	struct host *hosts;
	struct prefix *prefixes;
	struct rule *rules;
	struct route_match *matches;
	char *texts;
};

/* ---- building ---- */

static size_t texts_size(const struct route_match *m)
{
	size_t size = strlen(m->host) + strlen(m->path_prefix) + 2;

	for (unsigned i = 0; i < m->n_fields; i++)
		size += strlen(m->fields[i].name) + 1 +
		        (m->fields[i].value != NULL ? strlen(m->fields[i].value) + 1 : 0);
	return size;
}

static const char *keep_text(char **at, const char *text)
{
	const size_t size = strlen(text) + 1;
	char *kept = *at;

	memcpy(kept, text, size);
	*at += size;
	return kept;
}

static void keep_match(struct route_match *to, const struct route_match *from, char **at)
{
	*to = *from;
	to->n_fields = MIN(from->n_fields, ROUTE_FIELDS_MAX);
	to->host = keep_text(at, from->host);
	to->path_prefix = keep_text(at, from->path_prefix);
	for (unsigned i = 0; i < to->n_fields; i++) {
		to->fields[i].name = keep_text(at, from->fields[i].name);
		to->fields[i].value = from->fields[i].value != NULL ? keep_text(at, from->fields[i].value) : NULL;
	}
}

/* By host, prefix, what is asked for; those that ask for the same in the order in which they came. */
static int compare(const void *a, const void *b)
{
	const struct route_match *x = ((const struct rule *)a)->match, *y = ((const struct rule *)b)->match;
	int order = strcmp(x->host, y->host);

	if (order == 0)
		order = strcmp(x->path_prefix, y->path_prefix);
	if (order == 0)
		order = (y->n_fields > x->n_fields) - (y->n_fields < x->n_fields);
	if (order == 0)
		order = (x->methods == 0) - (y->methods == 0);
	return order != 0 ? order : (x > y) - (x < y);
}

static bool begins_with(const struct prefix *p, const struct prefix *with)
{
	return p->n > with->n && memcmp(p->text, with->text, with->n) == 0;
}

/* Sorted as they are, a prefix's parent is the one before it, or one of that one's parents. */
static void link_parents(struct prefix *prefixes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t parent = i > 0 ? i - 1 : NO_PARENT;

		while (parent != NO_PARENT && !begins_with(&prefixes[i], &prefixes[parent]))
			parent = prefixes[parent].parent;
		prefixes[i].parent = parent;
	}
}

/* The rules are sorted; every new host and every new prefix begins where the text changes. */
static void group(struct route_table *t, size_t n)
{
	struct prefix *p = t->prefixes;
	struct host *h = t->hosts;

	for (size_t i = 0; i < n; i++) {
		const struct route_match *m = t->rules[i].match;
		const bool new_host = i == 0 || strcmp(m->host, h[-1].name) != 0;

		if (new_host)
			*h++ = (struct host){ m->host, p, 0 };
		if (new_host || strcmp(m->path_prefix, p[-1].text) != 0) {
			*p++ = (struct prefix){ m->path_prefix, strlen(m->path_prefix), NO_PARENT, (uint32_t)i, 0 };
			h[-1].n++;
		}
		p[-1].rules++;
	}
	t->n_hosts = (size_t)(h - t->hosts);
	for (size_t i = 0; i < t->n_hosts; i++)
		link_parents(&t->prefixes[t->hosts[i].prefixes - t->prefixes], t->hosts[i].n);
}

static int index_hosts(struct route_table *t)
{
	for (size_t i = 0; i < t->n_hosts; i++) {
		struct host *h = &t->hosts[i];

		if (strcmp(h->name, "*") == 0) {
			t->any = h;
			continue;
		}
		t->wild |= h->name[0] == '*';
		if (map_put_str(&t->by_host, h->name, h, NULL) != 0)
			return -1;
	}
	return 0;
}

int route_table_new(struct route_table **out, const struct route_match *routes, size_t n)
{
	struct route_table *t = calloc(1, sizeof *t);
	size_t texts = 0;
	char *at;

	if (t == NULL)
		return -1;
	map_init(&t->by_host);
	for (size_t i = 0; i < n; i++)
		texts += texts_size(&routes[i]);
	t->hosts = calloc(n + 1, sizeof *t->hosts);
	t->prefixes = calloc(n + 1, sizeof *t->prefixes);
	t->rules = calloc(n + 1, sizeof *t->rules);
	t->matches = calloc(n + 1, sizeof *t->matches);
	t->texts = at = malloc(texts + 1);
	if (t->hosts == NULL || t->prefixes == NULL || t->rules == NULL || t->matches == NULL || t->texts == NULL)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		keep_match(&t->matches[i], &routes[i], &at);
		t->rules[i].match = &t->matches[i];
		for (unsigned k = 0; k < t->matches[i].n_fields; k++) {
			const char *name = t->matches[i].fields[k].name;

			t->rules[i].names[k] = http_name_find((const uint8_t *)name, strlen(name));
		}
	}
	qsort(t->rules, n, sizeof *t->rules, compare);
	group(t, n);
	if (index_hosts(t) != 0)
		goto fail;
	*out = t;
	return 0;
fail:
	route_table_free(t);
	return -1;
}

void route_table_free(struct route_table *t)
{
	if (t == NULL)
		return;
	map_free(&t->by_host);
	free(t->hosts);
	free(t->prefixes);
	free(t->rules);
	free(t->matches);
	free(t->texts);
	free(t);
}

/* ---- finding ---- */

static const struct host *find_host(const struct route_table *t, const char *name)
{
	const struct host *h = map_get_str(&t->by_host, name);
	char wild[HOST_NAME_SIZE + 1] = "*"; /* and the name from a dot on */

	for (const char *dot = t->wild ? strchr(name, '.') : NULL; h == NULL && dot != NULL;
		dot = strchr(dot + 1, '.')) {
		const size_t size = strlen(dot) + 1;

		if (size > HOST_NAME_SIZE)
			continue;
		memcpy(wild + 1, dot, size);
		h = map_get_str(&t->by_host, wild);
	}
	return h != NULL ? h : t->any;
}

/* How a prefix sorts beside a path, byte by byte; a shorter one before a longer one. */
static bool not_behind(const struct prefix *p, struct http_span path)
{
	const int order = memcmp(p->text, path.p, MIN(p->n, path.n));

	return order != 0 ? order < 0 : p->n <= path.n;
}

static uint32_t last_not_behind(const struct host *h, struct http_span path)
{
	uint32_t low = 0, high = h->n;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (not_behind(&h->prefixes[middle], path))
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? low - 1 : NO_PARENT;
}

/* Of whole segments: a prefix that ends with a slash, or ends where the path ends or has one. */
static bool takes_path(const struct prefix *p, struct http_span path)
{
	if (p->n == 0 || p->n > path.n || memcmp(p->text, path.p, p->n) != 0)
		return p->n == 0;
	return p->text[p->n - 1] == '/' || p->n == path.n || path.p[p->n] == '/';
}

static bool has_field(const struct rule *r, unsigned i, const struct http_head *h)
{
	const struct route_field *want = &r->match->fields[i];
	const struct http_field *f =
		r->names[i] != HTTP_NAME_UNKNOWN ? http_head_find(h, r->names[i]) : http_head_find_text(h, want->name);
	struct http_span value;

	if (f == NULL || want->value == NULL)
		return f != NULL;
	value = http_field_value(h, f);
	return value.n == strlen(want->value) && memcmp(value.p, want->value, value.n) == 0;
}

static bool takes_request(const struct rule *r, const struct http_head *h)
{
	if (r->match->methods != 0 && (r->match->methods >> h->method & 1) == 0)
		return false;
	for (unsigned i = 0; i < r->match->n_fields; i++)
		if (!has_field(r, i, h))
			return false;
	return true;
}

void *route_table_find(const struct route_table *t, const char *host, struct http_span path, const struct http_head *h)
{
	const struct host *found = find_host(t, host);

	if (found == NULL)
		return NULL;
	for (uint32_t i = last_not_behind(found, path); i != NO_PARENT; i = found->prefixes[i].parent) {
		const struct prefix *p = &found->prefixes[i];

		if (!takes_path(p, path))
			continue;
		for (uint32_t k = p->first; k < p->first + p->rules; k++)
			if (takes_request(&t->rules[k], h))
				return t->rules[k].match->to;
	}
	return NULL;
}
