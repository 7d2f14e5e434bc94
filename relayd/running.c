#include "relayd/running.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/services.h"

#include <stdlib.h>
#include <string.h>

#define TROUBLE_MS 1000 /* before a whole snapshot is asked for */

struct running {
	struct running_conf conf;
	struct snapshot *now;
	bool has;
	/*
	 * What updates build on. Usually `now`; an empty one when something did not fit and everything is asked for
	 * again, as if this relay had nothing.
	 */
	struct snapshot *base;
	struct snapshot_stage *stage;
	uint64_t page_token;
};

int running_new(struct running **out, const struct running_conf *conf, struct err *e)
{
	struct running *r = calloc(1, sizeof *r);

	if (r == NULL || snapshot_new(&r->now, e) != 0) {
		free(r);
		return err_set(e, ERR_NOMEM, NULL, "configuration: out of memory");
	}
	r->base = snapshot_ref(r->now);
	r->conf = *conf;
	*out = r;
	return 0;
}

void running_free(struct running *r)
{
	if (r == NULL)
		return;
	snapshot_stage_free(r->stage);
	snapshot_unref(r->base);
	snapshot_unref(r->now);
	free(r);
}

const struct snapshot *running_snapshot(const struct running *r)
{
	return r->now;
}

bool running_has_snapshot(const struct running *r)
{
	return r->has;
}

/* Before the services apply: they may refuse what becomes theirs. */
static void on_no_longer_faulty(const struct object *old, const struct object *new_, void *arg)
{
	struct running *r = arg;

	if (old != NULL && old->kind == OBJECT_FAULTY && (new_ == NULL || new_->kind != OBJECT_FAULTY))
		refusals_clear(r->conf.refusals, old->id);
}

static bool is_paid_as_before(const struct object *old, const struct object *new_)
{
	return new_ != NULL && new_->kind == OBJECT_MAPPING && str_eq(old->mapping.account, new_->mapping.account);
}

/* After they did: they forget what is no longer theirs; what an owner's quota refused is nobody's of them. */
static void on_faulty(const struct object *old, const struct object *new_, void *arg)
{
	struct running *r = arg;
	struct err why = { .code = ERR_NONE };

	if (old != NULL && old->kind == OBJECT_MAPPING && !is_paid_as_before(old, new_))
		refusals_clear(r->conf.refusals, old->id);
	if (new_ == NULL || new_->kind != OBJECT_FAULTY)
		return;
	err_set(&why, ERR_PROTOCOL, NULL, "%s", new_->fault);
	refusals_set(r->conf.refusals, new_, &why);
}

/* From now on `s` is what runs; takes the reference. */
static void running_swap(struct running *r, struct snapshot *s)
{
	struct snapshot *old = r->now;

	snapshot_diff(old, s, on_no_longer_faulty, r);
	services_apply(r->conf.services, old, s);
	snapshot_diff(old, s, on_faulty, r);
	r->now = s;
	r->has = true;
	snapshot_unref(r->base);
	r->base = snapshot_ref(s);
	if (memcmp(old->revision.log_id, s->revision.log_id, PROTO_LOG_ID_SIZE) != 0 && old->revision.seq != 0)
		r->conf.on_other_log(r->conf.arg);
	log_info("revision_applied", log_u("revision", s->revision.seq), log_u("objects", s->n),
		log_u("refused", refusals_count(r->conf.refusals)));
	snapshot_unref(old);
}

void running_begin(struct running *r, struct snapshot *s)
{
	running_swap(r, snapshot_ref(s));
}

/* Asks for everything, as a relay that has nothing. */
static uint64_t running_start_over(struct running *r, const struct err *why)
{
	struct snapshot *empty;

	log_warn("update_does_not_fit", log_err(why));
	snapshot_stage_free(r->stage);
	r->stage = NULL;
	r->page_token = 0;
	if (why->code == ERR_CONFLICT && snapshot_new(&empty, NULL) == 0) {
		snapshot_unref(r->base);
		r->base = empty;
	}
	return TROUBLE_MS;
}

static uint64_t running_take(struct running *r, struct snapshot *s)
{
	running_swap(r, s);
	r->conf.on_current(r->conf.arg, r->now);
	return 0;
}

static uint64_t update_delta(struct running *r, const struct msg_update *m)
{
	struct err e = { .code = ERR_NONE };
	struct snapshot *s;

	snapshot_stage_free(r->stage);
	r->stage = NULL;
	r->page_token = 0;
	if (snapshot_apply(&s, r->base, m, &e) != 0)
		return running_start_over(r, &e);
	return running_take(r, s);
}

static uint64_t update_page(struct running *r, const struct msg_update *m)
{
	struct err e = { .code = ERR_NONE };
	struct snapshot *s;

	if (snapshot_stage_add(&r->stage, r->now, m, &e) != 0)
		return running_start_over(r, &e);
	r->page_token = m->next_page;
	if (m->next_page != 0)
		return 0;
	if (snapshot_stage_finish(&s, &r->stage, &e) != 0)
		return running_start_over(r, &e);
	return running_take(r, s);
}

uint64_t running_update(struct running *r, const struct msg_update *m)
{
	switch (m->kind) {
	case UPDATE_DELTA:
		return update_delta(r, m);
	case UPDATE_SNAPSHOT:
		return update_page(r, m);
	case UPDATE_LATER:
		return MAX(m->retry_ms, 1);
	default:
		if (r->base == r->now && r->has)
			r->conf.on_current(r->conf.arg, r->now);
		return 0;
	}
}

void running_state(struct running *r, struct node_state *out)
{
	refusals_state(r->conf.refusals, out);
	out->applied = r->now->revision;
}

void running_fill(struct running *r, struct msg_poll *out)
{
	out->have = r->base->revision;
	out->page_token = r->page_token;
	running_state(r, &out->state);
}
