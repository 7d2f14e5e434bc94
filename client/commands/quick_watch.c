#define _GNU_SOURCE
#include "client/commands/quick_watch.h"

#include "client/api/feed.h"
#include "client/commands/quick.h"
#include "client/commands/quick_account.h"
#include "client/commands/quick_news.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KINDS      "mapping,client,user,quota"
#define LIVE_MS    5000 /* what relays say is no change that is pushed */
#define BLIND_MS   2000
#define PAUSE_MS   200 /* between two looks, however many changes there are */
#define TRIES      1
#define TIMEOUT_MS 5000
#define WHAT_SIZE  600

enum watch_state { WATCH_SERVED, WATCH_DOWN };

struct quick_watch {
	pthread_t thread;
	struct feed *feed;
	struct quick own; /* as the command's, with an api of its own */
	atomic_bool over;
	enum watch_state state;
	char told[WHAT_SIZE]; /* the key of what was said last of its being down */
	bool blind;           /* that it may not look was said */
	struct failure final; /* exit EXIT_DONE: nothing is */
};

/* ---- what is said ------------------------------------------------------------------------------------------------- */

static void tell(const struct quick_watch *w, const char *event, const char *message, const char *what_to_do)
{
	const struct quick_news n = { event, message, what_to_do };

	quick_news_tell(w->own.in, &n);
}

/* Says it now, and ends the command as Ctrl-C would: the agent lets its connections finish. */
static void end_command(
	struct quick_watch *w, enum command_exit code, const char *event, const char *message, const char *what_to_do)
{
	w->final.exit = code;
	tell(w, event, message, what_to_do);
	(void)kill(getpid(), SIGTERM);
}

static void on_gone(struct quick_watch *w)
{
	int64_t ends_ms;
	char text[WHAT_SIZE];

	if (w->own.expires_at[0] != '\0' && clock_parse_rfc3339(w->own.expires_at, &ends_ms) == 0 &&
		ends_ms <= clock_wall_ms()) {
		(void)str_fmt(text, sizeof text, "its time without an account is over (%s)", w->own.expires_at);
		end_command(w, EXIT_NOT_FOUND, "mapping_expired", text,
			"run it again for a new one, or log in (portway login) for one that stays");
		return;
	}
	(void)str_fmt(text, sizeof text, "the mapping %s was deleted by somebody else: nobody gets through any more",
		w->own.mapping);
	end_command(w, EXIT_NOT_FOUND, "mapping_deleted", text, "run it again for a new one");
}

struct complaint {
	char key[WHAT_SIZE]; /* what is the same is not said again */
	char what[WHAT_SIZE], todo[WHAT_SIZE];
};

/* Controld says it as "quota", a relay that noticed first by its code. */
static void describe_quota(const json_t *mapping, const char *message, struct complaint *c)
{
	const char *user = json_string_value(json_object_get(mapping, "user_id"));

	(void)str_copy(c->key, sizeof c->key, "quota");
	(void)str_fmt(c->what, sizeof c->what, "nobody gets through: %s", message);
	(void)str_fmt(c->todo, sizeof c->todo,
		"wait for the next month or have the quota raised (portway quota%s%s); it goes on by itself then",
		user != NULL ? " show " : "", user != NULL ? user : "");
}

static void describe(const json_t *mapping, const char *status, struct complaint *c)
{
	void *first = json_object_iter(json_object_get(mapping, "error"));
	const json_t *error = json_object_iter_value(first);
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *id = json_string_value(json_object_get(mapping, "id"));

	if (str_eq(status, "inactive")) {
		(void)str_copy(c->key, sizeof c->key, status);
		(void)str_fmt(c->what, sizeof c->what,
			"nobody gets through: the mapping is switched off, or its owner is suspended");
		(void)str_fmt(c->todo, sizeof c->todo, "portway update mapping %s status=active switches it on again",
			id != NULL ? id : "");
	} else if (message != NULL &&
		   str_eq(json_string_value(json_object_get(error, "code")), err_api(ERR_QUOTA_EXCEEDED))) {
		describe_quota(mapping, message, c);
	} else {
		(void)str_fmt(c->what, sizeof c->what, "nobody gets through: node %s refuses it: %s",
			first != NULL ? json_object_iter_key(first) : "?",
			message != NULL ? message : "no reason given");
		(void)str_copy(c->key, sizeof c->key, c->what);
		(void)str_fmt(
			c->todo, sizeof c->todo, "it is tried again by itself; another port: run it again with --port");
	}
}

/* pending: relays are about to hear of it, or none is online, which says nothing of those that serve without controld. */
static void on_mapping(struct quick_watch *w, const json_t *mapping)
{
	const char *status = json_string_value(json_object_get(mapping, "status"));
	struct complaint c;

	if (status == NULL || str_eq(status, "pending"))
		return;
	if (str_eq(status, "active")) {
		if (w->state == WATCH_DOWN)
			tell(w, "mapping_up", "it is served again", NULL);
		w->state = WATCH_SERVED;
		w->told[0] = '\0';
		return;
	}
	describe(mapping, status, &c);
	if (w->state == WATCH_DOWN && str_eq(w->told, c.key))
		return;
	w->state = WATCH_DOWN;
	(void)str_copy(w->told, sizeof w->told, c.key);
	tell(w, "mapping_down", c.what, c.todo);
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

static int look_as_user(struct quick_watch *w)
{
	json_t *mapping = NULL;
	int r = quick_account_call(&w->own, "GET", NULL, &mapping, "/api/v1/mappings/%s", w->own.mapping);

	if (r == 0)
		on_mapping(w, mapping);
	json_decref(mapping);
	return r;
}

/* A client is told of all its mappings at once; an anonymous one has few. */
static int look_as_client(struct quick_watch *w)
{
	json_t *page = NULL, *one;
	bool found = false;
	size_t i;
	int r = quick_account_call(&w->own, "GET", NULL, &page, "/api/v1/self/mappings?limit=200");

	if (r == 0)
		json_array_foreach(json_object_get(page, "items"), i,
			one) if (str_eq(json_string_value(json_object_get(one, "id")), w->own.mapping))
		{
			found = true;
			on_mapping(w, one);
		}
	if (r == 0 && !found)
		r = failure_set(&w->own.f, EXIT_NOT_FOUND, "there is no mapping %s", w->own.mapping);
	json_decref(page);
	return r;
}

static void on_refused(struct quick_watch *w)
{
	char what[WHAT_SIZE];

	if (w->own.anonymous) {
		(void)str_fmt(what, sizeof what, "controld does not know this client any more: %s", w->own.f.message);
		end_command(w, EXIT_CREDENTIALS, "client_gone", what, "run it again, or log in (portway login)");
		return;
	}
	if (w->blind)
		return;
	w->blind = true;
	(void)str_fmt(what, sizeof what, "controld does not say any more how the mapping is: %s", w->own.f.message);
	tell(w, "unwatched", what,
		"the tunnel goes on; log in again (portway login), or it cannot be removed at the end");
}

/* Tokens of a client end within minutes, its secret does not. */
static int log_in_again(struct quick_watch *w)
{
	return w->own.anonymous && quick_account_log_in(&w->own) == 0 ? 0 : -1;
}

static void look(struct quick_watch *w)
{
	int r = w->own.anonymous ? look_as_client(w) : look_as_user(w);

	if (r != 0 && w->own.f.exit == EXIT_CREDENTIALS && w->own.anonymous && log_in_again(w) == 0)
		r = look_as_client(w);
	if (r == 0)
		w->blind = false;
	else if (w->own.f.exit == EXIT_NOT_FOUND)
		on_gone(w);
	else if (w->own.f.exit == EXIT_CREDENTIALS)
		on_refused(w);
}

static void *work_watch(void *arg)
{
	struct quick_watch *w = arg;
	uint64_t last = 0;

	while (!atomic_load(&w->over) && w->final.exit == EXIT_DONE) {
		const uint64_t now = clock_mono_ms();

		if (now - last >= PAUSE_MS) {
			look(w);
			last = clock_mono_ms();
			(void)feed_wait(w->feed, LIVE_MS, BLIND_MS);
		} else {
			feed_pause(w->feed, PAUSE_MS - (now - last));
		}
	}
	return NULL;
}

/* ---- beginning and end -------------------------------------------------------------------------------------------- */

static void release(struct quick_watch *w)
{
	feed_close(w->feed);
	quick_account_forget(&w->own);
	explicit_bzero(&w->own.client, sizeof w->own.client);
	api_close(w->own.api);
	free(w);
}

static int open_calls(struct quick_watch *w, const struct quick *q)
{
	const struct options *o = &q->in->options;
	const struct api_conf conf = { .url = options_text(o, "url", NULL),
		.profile = options_text(o, "profile", NULL),
		.ca_file = options_text(o, "ca", NULL),
		.anonymous = q->anonymous,
		.tries = TRIES,
		.timeout_ms = TIMEOUT_MS };
	struct err e;

	if (api_open(&w->own.api, &conf, &w->own.f) != 0)
		return -1;
	if (feed_open(&w->feed, w->own.api, q->anonymous ? NULL : KINDS, &e) != 0)
		return failure_from_err(&w->own.f, EXIT_BAD_NEWS, &e);
	return 0;
}

int quick_watch_start(struct quick_watch **out, struct quick *q)
{
	struct quick_watch *w = calloc(1, sizeof *w);

	if (w == NULL)
		return failure_set(&q->f, EXIT_BAD_NEWS, "out of memory");
	w->own.in = q->in;
	w->own.anonymous = q->anonymous;
	w->own.client = q->client;
	(void)str_copy(w->own.mapping, sizeof w->own.mapping, q->mapping);
	(void)str_copy(w->own.expires_at, sizeof w->own.expires_at, q->expires_at);
	if (open_calls(w, q) != 0 || pthread_create(&w->thread, NULL, work_watch, w) != 0) {
		if (w->own.f.exit == EXIT_DONE)
			(void)failure_set(&w->own.f, EXIT_BAD_NEWS, "no thread for the mapping's watch");
		q->f = w->own.f;
		release(w);
		return -1;
	}
	*out = w;
	return 0;
}

int quick_watch_stop(struct quick_watch *w, struct failure *f)
{
	int r = 0;

	if (w == NULL)
		return 0;
	atomic_store(&w->over, true);
	feed_interrupt(w->feed);
	(void)pthread_join(w->thread, NULL);
	if (w->final.exit != EXIT_DONE) {
		*f = w->final;
		r = -1;
	}
	release(w);
	return r;
}
