#include "controld/rest/router.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/rest/query.h"

#include <stdlib.h>
#include <string.h>

/* One segment of the paths: children by name, at most one that captures, and the rows that end here. */
struct router_node {
	char *name; /* NULL: captures */
	struct router_node *children;
	struct router_node *next;
	struct router_entry **entries;
	size_t n_entries;
};

struct router {
	struct router_node root;
	struct router_entry **entries;
	size_t n;
};

struct router_path {
	size_t n;
	char *segments[ROUTER_SEGMENTS_MAX];
};

int router_new(struct router **out, struct err *e)
{
	*out = calloc(1, sizeof **out);
	return *out != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "router: out of memory");
}

static void router_node_fini(struct router_node *n)
{
	while (n->children != NULL) {
		struct router_node *child = n->children;

		n->children = child->next;
		router_node_fini(child);
		free(child);
	}
	free(n->entries);
	free(n->name);
}

void router_free(struct router *r)
{
	if (r == NULL)
		return;
	router_node_fini(&r->root);
	for (size_t i = 0; i < r->n; i++)
		free(r->entries[i]);
	free(r->entries);
	free(r);
}

/* -1 for a path that does not start with '/', has an empty segment or too many. */
static int router_split(struct router_path *p, char *path)
{
	p->n = 0;
	if (*path != '/')
		return -1;
	path++;
	while (path != NULL && *path != '\0') {
		char *segment = strsep(&path, "/");

		if (*segment == '\0' || p->n == ROUTER_SEGMENTS_MAX)
			return -1;
		p->segments[p->n++] = segment;
	}
	return 0;
}

static struct router_node *router_child(struct router_node *n, const char *name)
{
	struct router_node *child = n->children;

	while (child != NULL && !str_eq(child->name, name))
		child = child->next;
	return child;
}

/* name NULL: the one that captures. */
static struct router_node *router_grow(struct router_node *n, const char *name)
{
	struct router_node *child = router_child(n, name);

	if (child != NULL)
		return child;
	child = calloc(1, sizeof *child);
	if (child == NULL || (name != NULL && (child->name = strdup(name)) == NULL)) {
		free(child);
		return NULL;
	}
	child->next = n->children;
	n->children = child;
	return child;
}

/* "{id}" into the entry's captures; 0, 1 for a literal segment, -1 for a malformed one. */
static int router_capture(struct router_entry *entry, char *segment)
{
	const size_t n = strlen(segment);

	if (segment[0] != '{')
		return strpbrk(segment, "{}%") == NULL ? 1 : -1;
	if (n < 3 || segment[n - 1] != '}' || entry->n_captures == ROUTER_CAPTURES_MAX)
		return -1;
	segment[n - 1] = '\0';
	return str_copy(entry->captures[entry->n_captures++], sizeof entry->captures[0], segment + 1);
}

static int router_plant(struct router *r, struct router_entry *entry, char *path, struct err *e)
{
	struct router_node *node = &r->root;
	struct router_entry **bigger;
	struct router_path p;

	if (router_split(&p, path) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "route %s: malformed path", entry->route->path);
	for (size_t i = 0; i < p.n; i++) {
		const int kind = router_capture(entry, p.segments[i]);

		if (kind < 0)
			return err_set(e, ERR_INTERNAL, NULL, "route %s: malformed segment", entry->route->path);
		node = router_grow(node, kind == 0 ? NULL : p.segments[i]);
		if (node == NULL)
			return err_set(e, ERR_NOMEM, NULL, "router: out of memory");
	}
	for (size_t i = 0; i < node->n_entries; i++)
		if (str_eq(node->entries[i]->route->method, entry->route->method))
			return err_set(e, ERR_CONFLICT, NULL, "route %s %s is there twice", entry->route->method,
				entry->route->path);
	bigger = reallocarray(node->entries, node->n_entries + 1, sizeof *bigger);
	if (bigger == NULL)
		return err_set(e, ERR_NOMEM, NULL, "router: out of memory");
	node->entries = bigger;
	node->entries[node->n_entries++] = entry;
	return 0;
}

int router_add(struct router *r, const struct route *route, void *feature, struct err *e)
{
	struct router_entry *entry = calloc(1, sizeof *entry);
	struct router_entry **bigger = reallocarray(r->entries, r->n + 1, sizeof *bigger);
	char *path = strdup(route->path);
	int rc = -1;

	if (bigger != NULL)
		r->entries = bigger;
	if (entry == NULL || bigger == NULL || path == NULL) {
		err_set(e, ERR_NOMEM, NULL, "router: out of memory");
	} else {
		*entry = (struct router_entry){ .route = route, .feature = feature, .index = r->n };
		rc = router_plant(r, entry, path, e);
	}
	if (rc == 0)
		r->entries[r->n++] = entry;
	else
		free(entry);
	free(path);
	return rc;
}

size_t router_count(const struct router *r)
{
	return r->n;
}

const struct router_entry *router_at(const struct router *r, size_t index)
{
	return r->entries[index];
}

/* The node at the end of the segments from i on; of several ways there the one with literal segments first. */
static const struct router_node *router_walk(
	const struct router_node *node, const struct router_path *p, size_t i, size_t depth, struct router_match *m)
{
	const struct router_node *capture = NULL;

	if (i == p->n)
		return node->n_entries > 0 ? node : NULL;
	for (const struct router_node *c = node->children; c != NULL; c = c->next) {
		const struct router_node *end;

		if (c->name == NULL)
			capture = c;
		else if (strcmp(c->name, p->segments[i]) == 0 && (end = router_walk(c, p, i + 1, depth, m)) != NULL)
			return end;
	}
	if (capture == NULL || depth == ROUTER_CAPTURES_MAX)
		return NULL;
	m->values[depth] = p->segments[i];
	return router_walk(capture, p, i + 1, depth + 1, m);
}

static const struct router_entry *router_method(const struct router_node *node, const char *method)
{
	for (size_t i = 0; i < node->n_entries; i++)
		if (strcmp(node->entries[i]->route->method, method) == 0)
			return node->entries[i];
	return NULL;
}

/* "GET, HEAD, POST, OPTIONS": what fits of it, which is all for the methods there are. */
static void router_allow(const struct router_node *node, char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < node->n_entries; i++) {
		const char *method = node->entries[i]->route->method;

		if (str_fmt(dst + n, size - n, "%s%s, ", method, str_eq(method, "GET") ? ", HEAD" : "") != 0)
			return;
		n += strlen(dst + n);
	}
	(void)str_fmt(dst + n, size - n, "OPTIONS");
}

enum router_result router_find(const struct router *r, const char *method, char *path, struct router_match *m)
{
	const struct router_node *node;
	struct router_path p;

	m->entry = NULL;
	m->allow[0] = '\0';
	if (router_split(&p, path) != 0)
		return ROUTER_NO_PATH;
	for (size_t i = 0; i < p.n; i++)
		if (query_decode(p.segments[i], false) != 0)
			return ROUTER_BAD_PATH;
	node = router_walk(&r->root, &p, 0, 0, m);
	if (node == NULL)
		return ROUTER_NO_PATH;
	m->entry = router_method(node, method);
	if (m->entry == NULL && strcmp(method, "HEAD") == 0)
		m->entry = router_method(node, "GET");
	if (m->entry != NULL)
		return ROUTER_FOUND;
	router_allow(node, m->allow, sizeof m->allow);
	return ROUTER_NO_METHOD;
}
