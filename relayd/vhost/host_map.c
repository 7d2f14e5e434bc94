#include "relayd/vhost/host_map.h"

#include "common/net/host_name.h"
#include "relayd/vhost/vhost.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct vhost *vhost;
	struct list link; /* in vhost.names */
	char pattern[];
};

void host_map_init(struct host_map *m)
{
	map_init(&m->by_name);
	m->wild = 0;
	m->version = 0;
}

void host_map_fini(struct host_map *m)
{
	map_free(&m->by_name);
}

struct vhost *host_map_holder(const struct host_map *m, const char *pattern)
{
	const struct entry *e = map_get_str(&m->by_name, pattern);

	return e != NULL ? e->vhost : NULL;
}

static void remove_entry(struct host_map *m, struct entry *e)
{
	map_remove_str(&m->by_name, e->pattern);
	m->wild -= host_pattern_is_wild(e->pattern);
	m->version++;
	list_remove(&e->link);
	free(e);
}

int host_map_add(struct host_map *m, const char *pattern, struct vhost *v)
{
	struct entry *held = map_get_str(&m->by_name, pattern), *e;
	size_t size = strlen(pattern) + 1;

	if (held != NULL)
		remove_entry(m, held);
	e = malloc(sizeof *e + size);
	if (e == NULL)
		return -1;
	e->vhost = v;
	memcpy(e->pattern, pattern, size);
	if (map_put_str(&m->by_name, e->pattern, e, NULL) != 0) {
		free(e);
		return -1;
	}
	m->wild += host_pattern_is_wild(pattern);
	m->version++;
	list_push_back(&v->names, &e->link);
	return 0;
}

void host_map_leave(struct host_map *m, struct vhost *v)
{
	struct list *first;

	while ((first = list_first(&v->names)) != NULL)
		remove_entry(m, CONTAINER_OF(first, struct entry, link));
}

struct vhost *host_map_find(const struct host_map *m, const char *name)
{
	struct vhost *v = host_map_holder(m, name);
	char wild[HOST_NAME_SIZE + 1] = "*"; /* and the part of the name from a dot on */

	for (const char *dot = m->wild > 0 ? strchr(name, '.') : NULL; v == NULL && dot != NULL;
		dot = strchr(dot + 1, '.')) {
		memcpy(wild + 1, dot, strlen(dot) + 1);
		v = host_map_holder(m, wild);
	}
	return v;
}
