#include "relayd/port/port.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "relayd/conf/object.h"
#include "relayd/port/adopted.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/port_socket.h"

#include <stdlib.h>
#include <unistd.h>

int port_new(struct port **out, const struct port_kind *kind, const struct object *o, unsigned workers)
{
	struct port *p = calloc(1, sizeof *p + workers * sizeof p->lanes[0]);

	if (p == NULL)
		return -1;
	p->kind = kind;
	str_copy(p->id, sizeof p->id, o->id);
	p->object = object_ref(o);
	p->refs = 1;
	p->n_lanes = workers;
	p->state = PORT_OFF;
	gate_init(&p->gate);
	list_init(&p->todo);
	list_init(&p->waiting);
	list_init(&p->gone);
	list_init(&p->unused);
	*out = p;
	return 0;
}

struct port *port_ref(struct port *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void port_unref(struct port *p)
{
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (p->on_unused != NULL)
		p->on_unused(p, p->arg);
	else
		port_free(p);
}

void port_free(struct port *p)
{
	if (p == NULL)
		return;
	gate_fini(&p->gate);
	object_unref(p->object);
	free(p->fds);
	free(p);
}

void port_set_object(struct port *p, const struct object *o)
{
	object_unref(p->object);
	p->object = object_ref(o);
}

bool port_same_sockets(const struct object *a, const struct object *b)
{
	const struct mapping_conf *x = &a->mapping, *y = &b->mapping;

	return str_eq(x->source_client, y->source_client) && str_eq(x->bind, y->bind) &&
	       x->port_first == y->port_first && x->port_last == y->port_last && x->hot == y->hot &&
	       mapping_hosts_equal(&x->hosts, &y->hosts);
}

bool port_overlaps(const struct object *a, const struct object *b)
{
	return a->mapping.port_first <= b->mapping.port_last && b->mapping.port_first <= a->mapping.port_last;
}

static struct port_socket socket_at(const struct port *p, unsigned offset)
{
	const struct mapping_conf *conf = &p->object->mapping;

	return (struct port_socket){
		.protocol = conf->protocol,
		.bind = conf->bind,
		.port = (uint16_t)(conf->port_first + offset),
	};
}

/* A predecessor's group keeps its size: another one would send the clients of its sessions to other workers. */
static unsigned group_size(const struct port *p, const struct adopted *adopted)
{
	struct port_socket s = socket_at(p, 0);
	char key[PORT_SOCKET_KEY];
	unsigned n = 0;

	if (!p->object->mapping.hot)
		return 1;
	for (; adopted != NULL; n++) {
		port_socket_key(key, p->kind->name, &s, n);
		if (!adopted_has(adopted, key))
			break;
	}
	return n > 0 ? n : p->n_lanes;
}

static int open_one(struct port *p, unsigned index, struct adopted *adopted, struct err *e)
{
	struct port_socket s = socket_at(p, port_offset(p, index));
	unsigned member = index % p->group;
	char key[PORT_SOCKET_KEY];

	s.group = p->group > 1;
	if (adopted != NULL) {
		port_socket_key(key, p->kind->name, &s, member);
		p->fds[index] = adopted_claim(adopted, key);
		if (p->fds[index] >= 0)
			return 0;
	}
	if (port_socket_open(&p->fds[index], &s, e) != 0)
		return -1;
	if (s.group && s.protocol == MAPPING_UDP && member == p->group - 1)
		port_socket_steer(p->fds[index], p->group);
	return 0;
}

int port_open_sockets(struct port *p, struct adopted *adopted, struct fd_budget *fds, struct err *e)
{
	const struct mapping_conf *conf = &p->object->mapping;
	unsigned group = group_size(p, adopted);
	unsigned n;

	if (conf->source_client[0] != '\0') { /* its agent has the sockets */
		p->group = 1;
		return 0;
	}
	n = (unsigned)(conf->port_last - conf->port_first + 1) * group;

	if (!fd_budget_take(fds, n, FD_FOR_PORTS))
		return err_set(e, ERR_NO_DESCRIPTORS, "source_port",
			"no descriptor left for port %u: %u needed, %u of the %u that ports may use are in use",
			(unsigned)conf->port_first, n, fd_budget_used(fds), fd_budget_ceiling(fds, FD_FOR_PORTS));
	p->fds = malloc(n * sizeof *p->fds);
	if (p->fds == NULL) {
		fd_budget_give(fds, n);
		return err_set(e, ERR_NOMEM, NULL, "out of memory for %u sockets", n);
	}
	p->group = group;
	for (p->n_fds = 0; p->n_fds < n; p->n_fds++) {
		if (open_one(p, p->n_fds, adopted, e) != 0) {
			fd_budget_give(fds, n - p->n_fds);
			port_close_sockets(p, fds);
			return -1;
		}
	}
	return 0;
}

void port_close_sockets(struct port *p, struct fd_budget *fds)
{
	for (unsigned i = 0; i < p->n_fds; i++)
		close(p->fds[i]);
	fd_budget_give(fds, p->n_fds);
	free(p->fds);
	p->fds = NULL;
	p->n_fds = 0;
}
