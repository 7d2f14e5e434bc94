#include "client/resource/watch.h"

#include "client/api/failure.h"
#include "client/api/feed.h"
#include "client/resource/view.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define ID_SIZE 160

struct known {
	struct list node;
	json_t *object;
	unsigned round; /* in which it was seen last */
	char id[ID_SIZE];
};

struct watch {
	const struct watch_conf *conf;
	struct map by_id;
	struct list all;
	unsigned round;
};

static void forget(struct watch *w, struct known *k)
{
	(void)map_remove_str(&w->by_id, k->id);
	list_remove(&k->node);
	json_decref(k->object);
	free(k);
}

static struct known *learn(struct watch *w, const char *id)
{
	struct known *k = calloc(1, sizeof *k);

	if (k == NULL)
		return NULL;
	(void)str_copy(k->id, sizeof k->id, id);
	if (map_put_str(&w->by_id, k->id, k, NULL) != 0) {
		free(k);
		return NULL;
	}
	list_push_back(&w->all, &k->node);
	return k;
}

static void print_id(char dst[ID_SIZE], const json_t *object, const char *member)
{
	const json_t *id = json_object_get(object, member);

	if (json_is_integer(id))
		(void)str_fmt(dst, ID_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else
		(void)str_copy(dst, ID_SIZE, json_is_string(id) ? json_string_value(id) : "");
}

static int on_object(const json_t *object, void *arg)
{
	struct watch *w = arg;
	const char *event = w->round == 1 ? "present" : "new";
	char id[ID_SIZE];
	struct known *k;

	print_id(id, object, w->conf->view->conf.id);
	k = map_get_str(&w->by_id, id);
	if (k != NULL) {
		k->round = w->round;
		if (view_same(w->conf->view, k->object, object))
			return 0;
		event = "changed";
	} else if ((k = learn(w, id)) == NULL) {
		return 1;
	}
	k->round = w->round;
	json_decref(k->object);
	k->object = json_incref((json_t *)object);
	return view_show(w->conf->view, event, object) != 0 ? 1 : 0;
}

static int show_gone(struct watch *w)
{
	int rc = 0;

	LIST_FOREACH_SAFE (it, &w->all) {
		struct known *k = CONTAINER_OF(it, struct known, node);

		if (k->round == w->round)
			continue;
		if (view_show(w->conf->view, "gone", k->object) != 0)
			rc = 1;
		forget(w, k);
	}
	return rc;
}

/* 0 goes on, 1 the reader is away (or memory), -1 with *f. */
static int one_round(struct watch *w, struct failure *f)
{
	bool complete = true;
	int rc;

	w->round++;
	rc = w->conf->fetch(w->conf->arg, on_object, w, &complete, f);
	if (rc == 0 && complete)
		rc = show_gone(w);
	if (rc == 0 && view_flush(w->conf->view) != 0)
		rc = 1;
	return rc;
}

static int run(struct watch *w, struct failure *f)
{
	bool away = false;

	for (;;) {
		int rc = one_round(w, f);

		if (rc > 0)
			return 0;
		if (rc < 0 && f->exit != EXIT_NO_ANSWER)
			return -1;
		if (rc < 0 && !away)
			(void)failure_print(f, stderr, w->conf->who);
		away = rc < 0;
		if (w->conf->until_gone && !away && list_empty(&w->all))
			return 0;
		if (w->conf->rounds != 0 && w->round >= w->conf->rounds)
			return 0;
		(void)feed_wait(w->conf->feed, w->conf->interval_ms, w->conf->blind_ms);
	}
}

int watch_run(const struct watch_conf *conf, struct failure *f)
{
	struct watch w = { .conf = conf };
	int rc;

	map_init(&w.by_id);
	list_init(&w.all);
	rc = run(&w, f);
	LIST_FOREACH_SAFE (it, &w.all)
		forget(&w, CONTAINER_OF(it, struct known, node));
	map_free(&w.by_id);
	return rc;
}
