/* From the change log to the queues of webhooks. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/notify/room.h"

#include <stdlib.h>
#include <string.h>

#define CHANGES_AT_ONCE 200
#define WEBHOOKS_ALL    1000000
#define UNSAVED_MAX     1000 /* rows that are of interest to nobody and looked at again after a restart */

struct target {
	char id[RAND_ID_SIZE], tenant_id[40];
	char events[WEBHOOK_EVENTS_MAX + 1];
	int64_t from_seq;
};

struct text {
	struct buf body;
	char topic[TOPIC_SIZE], tenant_id[40], subject[TOPIC_SUBJECT_SIZE];
	int64_t seq;
};

struct pair {
	size_t target, text;
};

/* What was read in one go. */
struct haul {
	struct notify *notify;
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	int64_t offset; /* in the database */
	int64_t to;
	unsigned changes;
	struct target *targets;
	struct text *texts;
	struct pair *pairs;
	size_t n_targets, n_texts, n_pairs, room_targets, room_texts, room_pairs;
	bool failed; /* no memory */
	bool first;  /* of all controlds, here */
};

static void haul_fini(struct haul *h)
{
	for (size_t i = 0; i < h->n_texts; i++)
		buf_free(&h->texts[i].body);
	free(h->targets);
	free(h->texts);
	free(h->pairs);
}

/* Room for one more; NULL when there is no memory. */
static void *grow(struct haul *h, void *items, size_t n, size_t *room, size_t size)
{
	const size_t more = *room == 0 ? 16 : *room * 2;
	void *grown;

	if (n < *room)
		return items;
	if ((grown = reallocarray(items, more, size)) == NULL) {
		h->failed = true;
		return NULL;
	}
	*room = more;
	return grown;
}

static int on_target(const struct webhook *w, void *arg)
{
	struct haul *h = arg;
	struct target *grown, *t;

	if (!w->enabled)
		return 0;
	if ((grown = grow(h, h->targets, h->n_targets, &h->room_targets, sizeof *grown)) == NULL)
		return 1;
	h->targets = grown;
	t = &h->targets[h->n_targets++];
	(void)str_copy(t->id, sizeof t->id, w->id);
	(void)str_copy(t->tenant_id, sizeof t->tenant_id, w->tenant_id);
	(void)str_copy(t->events, sizeof t->events, w->events);
	t->from_seq = w->from_seq;
	return 0;
}

static struct text *add_text(struct haul *h, const struct change *c, const char *topic)
{
	struct text *grown = grow(h, h->texts, h->n_texts, &h->room_texts, sizeof *grown), *t;

	if (grown == NULL)
		return NULL;
	h->texts = grown;
	t = &h->texts[h->n_texts++];
	memset(t, 0, sizeof *t);
	buf_init(&t->body, TOPIC_BODY_MAX);
	topic_body(&t->body, c, topic, h->log_id);
	(void)str_copy(t->topic, sizeof t->topic, topic);
	(void)str_copy(t->tenant_id, sizeof t->tenant_id, c->tenant);
	(void)str_copy(t->subject, sizeof t->subject, c->subject);
	t->seq = c->seq;
	h->failed = h->failed || t->body.failed;
	return t;
}

static bool wants(const struct target *t, const struct change *c, const char *topic)
{
	/* one of no tenant is the platform's */
	const bool may = t->tenant_id[0] == '\0' || (topic_is_open(c) && str_eq(t->tenant_id, c->tenant));

	return may && c->seq > t->from_seq && topic_matches(t->events, topic);
}

static int on_change(const struct change *c, void *arg)
{
	struct haul *h = arg;
	struct text *text = NULL;
	char topic[TOPIC_SIZE];

	h->to = c->seq;
	h->changes++;
	topic_name(topic, c);
	for (size_t i = 0; i < h->n_targets; i++) {
		struct pair *grown;

		if (!wants(&h->targets[i], c, topic))
			continue;
		if (text == NULL && (text = add_text(h, c, topic)) == NULL)
			return 1;
		if ((grown = grow(h, h->pairs, h->n_pairs, &h->room_pairs, sizeof *grown)) == NULL)
			return 1;
		h->pairs = grown;
		h->pairs[h->n_pairs++] = (struct pair){ i, h->n_texts - 1 };
	}
	return 0;
}

static int read_all(struct haul *h, struct db *db, struct err *e)
{
	int64_t last, first;

	if (delivery_offset(db, &h->offset, e) != 0 || changes_last(db, &last, h->log_id, e) != 0 ||
		changes_first(db, &first, e) != 0)
		return -1;
	h->to = MAX(h->notify->read_seq, h->offset);
	if (last <= h->to)
		return 0;
	if (first > h->to + 1)
		log_warn("webhooks_log_gap", log_i("from", h->to + 1), log_i("to", first - 1));
	if (webhook_list(db, "", "", WEBHOOKS_ALL, on_target, h, e) != 0 ||
		changes_read(db, h->to, CHANGES_AT_ONCE, NULL, on_change, h, e) != 0)
		return -1;
	return h->failed ? err_set(e, ERR_NOMEM, NULL, "webhooks: out of memory") : 0;
}

static int work_queue(struct db *tx, void *arg, struct err *e)
{
	struct haul *h = arg;
	int rc = delivery_move_offset(tx, h->offset, h->to, e);

	h->first = rc > 0;
	for (size_t i = 0; rc > 0 && i < h->n_pairs; i++) {
		struct text *t = &h->texts[h->pairs[i].text];
		const struct delivery_order o = { .webhook_id = h->targets[h->pairs[i].target].id,
			.tenant_id = t->tenant_id,
			.topic = t->topic,
			.subject = t->subject,
			.body = buf_cstr(&t->body),
			.seq = t->seq,
			.now_ms = clock_wall_ms(),
			.waiting_max = (int64_t)h->notify->conf.waiting_max };

		if (delivery_queue(tx, &o, e) < 0)
			rc = -1;
	}
	return MIN(rc, 0);
}

static int queue_all(struct haul *h, struct err *e)
{
	struct notify *n = h->notify;

	if (h->n_pairs > 0 || h->to - h->offset >= UNSAVED_MAX) {
		if (store_write(n->conf.store, STORE_OPERATIONAL, work_queue, h, e) != 0)
			return -1;
		if (!h->first)
			return 0; /* another one has: begin anew from his offset */
		notify_metrics_queued(n->metrics, h->n_pairs);
	}
	n->read_seq = h->to;
	return 0;
}

int log_reader_step(struct notify *n, bool *more, struct err *e)
{
	struct haul h = { .notify = n };
	struct db *db;
	int rc;

	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	rc = read_all(&h, db, e);
	store_read_end(db);
	if (rc == 0)
		rc = queue_all(&h, e);
	*more = rc == 0 && h.changes >= CHANGES_AT_ONCE;
	haul_fini(&h);
	return rc;
}
