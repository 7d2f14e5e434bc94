#include "controld/balancer/settle.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/balancer/room.h"
#include "controld/rest/park.h"
#include "controld/tunnels/mapping_status.h"

#include <stdlib.h>

struct waiting {
	struct balancer *b;
	struct settle what;
	uint64_t until_ms; /* monotonic */
	struct mapping_watch *watches[SETTLE_PLACES_MAX];
};

static void free_waiting(void *state)
{
	struct waiting *w = state;

	for (size_t i = 0; i < w->what.n_places; i++)
		mapping_watch_free(w->watches[i]);
	free(w);
}

static int print(const struct waiting *w, struct reply *rp, struct err *e)
{
	const struct settle *s = &w->what;

	return s->print(w->b, s->tenant_id, s->id, s->status, rp, e);
}

static bool is_settled(const struct waiting *w)
{
	for (size_t i = 0; i < w->what.n_places; i++)
		if (!mapping_watch_settled(w->watches[i]))
			return false;
	return true;
}

static int on_settled(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e);

/* Takes w. Each place wakes the key when it is done, so it may have to wait again. */
static int wait_or_print(struct waiting *w, struct reply *rp, struct err *e)
{
	char key[PROTO_ID_SIZE + sizeof "mapping:"];
	const uint64_t now_ms = clock_mono_ms();
	uint64_t ticket;
	int rc;

	(void)str_fmt(key, sizeof key, "mapping:%s", w->what.object);
	ticket = park_ticket(w->b->parks, key);
	if (w->until_ms > now_ms && !is_settled(w)) {
		reply_park(rp, key, ticket, w->until_ms - now_ms, on_settled, w, free_waiting);
		return 0;
	}
	rc = print(w, rp, e);
	free_waiting(w);
	return rc;
}

static int on_settled(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	struct waiting *w = state, *again;

	(void)feature;
	(void)rq;
	if (is_settled(w) || w->until_ms <= clock_mono_ms())
		return print(w, rp, e);
	again = malloc(sizeof *again);
	if (again == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", w->what.id);
	*again = *w;
	w->what.n_places = 0; /* its watches have moved */
	return wait_or_print(again, rp, e);
}

int settle_reply(struct balancer *b, struct reply *rp, const struct settle *s, struct err *e)
{
	struct waiting *w = calloc(1, sizeof *w);

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", s->id);
	w->b = b;
	w->what = *s;
	w->until_ms = clock_mono_ms() + atomic_load(&b->create_wait_ms);
	for (size_t i = 0; i < s->n_places; i++) {
		const struct mapping_version v = { s->object, s->places[i].group_id, s->places[i].node_id, s->seq };

		if (mapping_watch_new(&w->watches[i], b->conf.statuses, &v, e) != 0) {
			free_waiting(w);
			return -1;
		}
	}
	return wait_or_print(w, rp, e);
}

static int on_group(const char *group_id, void *arg)
{
	struct settle *s = arg;

	if (s->n_places == SETTLE_PLACES_MAX)
		return 0;
	(void)str_copy(s->places[s->n_places].group_id, PROTO_ID_SIZE, group_id);
	s->places[s->n_places++].node_id[0] = '\0';
	return 0;
}

int settle_pool_places(struct balancer *b, struct db *db, const struct lb_pool *p, struct settle *s, struct err *e)
{
	char standard[PROTO_ID_SIZE];

	s->n_places = 0;
	(void)str_copy(s->object, sizeof s->object, p->id);
	s->seq = p->seq;
	if (lb_pool_groups(db, p->id, on_group, s, e) != 0)
		return -1;
	if (s->n_places > 0)
		return 0;
	return lb_group_default(b, db, standard, e) != 0 ? -1 : on_group(standard, s);
}

const char *settle_status(struct balancer *b, const struct settle *s, json_t **error)
{
	bool pending = false, refused = false;

	if (error != NULL)
		*error = NULL;
	for (size_t i = 0; i < s->n_places; i++) {
		json_t *reasons = NULL;
		const enum mapping_overall one = mapping_statuses_get(b->conf.statuses, s->object,
			s->places[i].group_id, s->places[i].node_id, s->seq, error != NULL ? &reasons : NULL);

		pending |= one == MAPPING_STATUS_PENDING;
		refused |= one == MAPPING_STATUS_ERROR;
		if (reasons != NULL && *error == NULL)
			*error = reasons;
		else if (reasons != NULL) {
			json_object_update(*error, reasons);
			json_decref(reasons);
		}
	}
	return refused ? "error" : pending ? "pending" : "active";
}
