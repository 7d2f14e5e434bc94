#include "controld/fleet/line/touches.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "controld/balancer/lb_placed.h"
#include "controld/certs/certs.h"
#include "controld/clients/clients.h"
#include "controld/fleet/ca.h"
#include "controld/store/changes.h"
#include "controld/tunnels/tunnels.h"

#include <stdlib.h>
#include <string.h>

void touches_init(struct touches *t, bool once, int64_t after)
{
	*t = (struct touches){ .once = once, .after = after };
	list_init(&t->all);
	map_init(&t->by_id);
}

void touches_fini(struct touches *t)
{
	LIST_FOREACH_SAFE (it, &t->all)
		free(CONTAINER_OF(it, struct touched, link));
	map_free(&t->by_id);
}

void touches_add(struct touches *t, enum touched_kind kind, const char *log_kind, const char *id, int64_t seq)
{
	struct touched *one = t->once ? map_get_str(&t->by_id, id) : NULL;

	if (one != NULL) {
		one->seq = MAX(one->seq, seq);
		return;
	}
	one = calloc(1, sizeof *one);
	if (one == NULL || str_copy(one->id, sizeof one->id, id) != 0 ||
		(t->once && map_put_str(&t->by_id, one->id, one, NULL) != 0)) {
		t->no_memory = t->no_memory || one == NULL || strlen(id) < sizeof one->id;
		free(one);
		return;
	}
	one->kind = kind;
	one->log_kind = log_kind;
	one->seq = seq;
	list_push_back(&t->all, &one->link);
}

static bool is_presence(const struct change *c)
{
	return str_eq(c->op, "online") || str_eq(c->op, "offline");
}

static int on_change(const struct change *c, void *arg)
{
	static const struct {
		const char *name;
		enum touched_kind kind;
		const char *as; /* whose it is to what it touches */
	} kinds[] = {
		{ "mapping", TOUCHED_MAPPING, "mapping" },
		{ "client", TOUCHED_CLIENT, "client" },
		{ "pool", TOUCHED_POOL, NULL },
		{ "route", TOUCHED_ROUTE, NULL },
		{ "certificate", TOUCHED_CERT, NULL },
		{ "certificate_answer", TOUCHED_ANSWER, NULL },
		{ "ticket_keys", TOUCHED_TICKETS, NULL },
		{ "group", TOUCHED_TICKETS, NULL }, /* a new one needs them, too */
		{ "user", TOUCHED_OWNER, "user" },
		{ "quota", TOUCHED_OWNER, "user" },
		{ "tenant", TOUCHED_OWNER, "tenant" },
		{ "node", TOUCHED_NODE, "node" },
		{ CA_KIND, TOUCHED_CA, NULL },
	};
	struct touches *t = arg;

	t->gap = t->gap || (t->rows == 0 && c->seq > t->after + 1);
	t->last = c->seq;
	t->rows++;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(c->kind, kinds[i].name) && !(kinds[i].kind == TOUCHED_NODE && is_presence(c)))
			touches_add(t, kinds[i].kind, kinds[i].as, c->subject, c->seq);
	return 0;
}

int touches_read(struct touches *t, struct db *db, unsigned limit, struct err *e)
{
	return changes_read(db, t->after, limit, NULL, on_change, t, e);
}

struct owned {
	struct touches *touches;
	enum touched_kind kind;
	const char *log_kind;
	int64_t seq;
};

static int on_owned(const char *id, void *arg)
{
	const struct owned *o = arg;

	touches_add(o->touches, o->kind, o->log_kind, id, o->seq);
	return 0;
}

/* What is appended is met by the walk, too. */
int touches_resolve(struct touches *t, struct db *db, struct err *e)
{
	LIST_FOREACH (it, &t->all) {
		struct touched *one = CONTAINER_OF(it, struct touched, link);
		struct owned mappings = { t, TOUCHED_MAPPING, NULL, one->seq };
		struct owned clients = { t, TOUCHED_CLIENT, "client", one->seq };
		struct owned pools = { t, TOUCHED_POOL, NULL, one->seq }, routes = { t, TOUCHED_ROUTE, NULL, one->seq };

		struct owned certs = { t, TOUCHED_CERT, NULL, one->seq };
		struct owned answers = { t, TOUCHED_ANSWER, NULL, one->seq };

		if (one->kind == TOUCHED_ROUTE && (certificate_ids_of_route(db, one->id, on_owned, &certs, e) != 0 ||
							  answer_ids_of_route(db, one->id, on_owned, &answers, e) != 0))
			return -1;
		if (one->kind == TOUCHED_OWNER &&
			(client_ids_of(db, one->log_kind, one->id, on_owned, &clients, e) != 0 ||
				lb_placed_pools_of(db, one->log_kind, one->id, on_owned, &pools, e) != 0 ||
				lb_placed_routes_of(db, one->log_kind, one->id, on_owned, &routes, e) != 0))
			return -1;
		if ((one->kind == TOUCHED_OWNER || one->kind == TOUCHED_CLIENT) &&
			mapping_ids_of(db, one->log_kind, one->id, on_owned, &mappings, e) != 0)
			return -1;
	}
	return t->no_memory ? err_set(e, ERR_NOMEM, NULL, "change log: out of memory") : 0;
}
