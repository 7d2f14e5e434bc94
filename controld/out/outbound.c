#include "controld/out/outbound.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/out/guard.h"
#include "controld/out/transfer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <time.h>

#define ASK_MS  200  /* how often a caller is asked whether it still wants its answer */
#define IDLE_MS 1000 /* the thread looks up at least so often */

struct outbound {
	struct outbound_conf conf;
	struct guard guard;
	CURLM *multi;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	struct list queued, active;
	unsigned n; /* of both */
	bool stopping;
	unsigned callers; /* inside outbound_send() */
	pthread_cond_t left;
	struct outbound_stats stats;
};

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* With the lock: its caller may take it away as soon as the lock is free. */
static void finish(struct outbound *o, struct transfer *t, CURLcode code)
{
	long status = 0;

	if (t->state == TRANSFER_ACTIVE) {
		curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
		curl_multi_remove_handle(o->multi, t->curl);
	}
	t->code = code;
	t->answer.status = (int)status;
	list_remove(&t->link);
	o->n--;
	t->state = TRANSFER_DONE;
	pthread_cond_signal(&t->done);
}

/* With the lock. */
static void start_queued(struct outbound *o)
{
	struct list *it;

	while ((it = list_first(&o->queued)) != NULL) {
		struct transfer *t = CONTAINER_OF(it, struct transfer, link);

		if (curl_multi_add_handle(o->multi, t->curl) != CURLM_OK) {
			finish(o, t, CURLE_OUT_OF_MEMORY);
			continue;
		}
		list_remove(it);
		list_push_back(&o->active, it);
		t->state = TRANSFER_ACTIVE;
	}
}

/* With the lock. */
static void drop_unwanted(struct outbound *o)
{
	LIST_FOREACH_SAFE (it, &o->active) {
		struct transfer *t = CONTAINER_OF(it, struct transfer, link);

		if (t->unwanted || o->stopping)
			finish(o, t, CURLE_ABORTED_BY_CALLBACK);
	}
	LIST_FOREACH_SAFE (it, &o->queued) {
		struct transfer *t = CONTAINER_OF(it, struct transfer, link);

		if (t->unwanted || o->stopping)
			finish(o, t, CURLE_ABORTED_BY_CALLBACK);
	}
}

/* With the lock. */
static void finish_done(struct outbound *o)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(o->multi, &left)) != NULL) {
		const CURLcode code = msg->data.result; /* removing the handle takes the message away */
		char *t = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		finish(o, (struct transfer *)(void *)t, code);
	}
}

/* Transfers are not driven under the lock: their callbacks touch nothing but their own. */
static void *work_out(void *arg)
{
	struct outbound *o = arg;
	bool going = true;

	prctl(PR_SET_NAME, "out");
	while (going) {
		int running;

		pthread_mutex_lock(&o->lock);
		start_queued(o);
		drop_unwanted(o);
		going = !o->stopping;
		pthread_mutex_unlock(&o->lock);
		(void)curl_multi_perform(o->multi, &running);
		pthread_mutex_lock(&o->lock);
		finish_done(o);
		pthread_mutex_unlock(&o->lock);
		if (going)
			(void)curl_multi_poll(o->multi, NULL, 0, IDLE_MS, NULL);
	}
	return NULL;
}

/* ---- the callers' side ------------------------------------------------------------------------------------------- */

/* With the lock. The thread begins with the first call: who makes none has none. */
static int start_thread(struct outbound *o, struct err *e)
{
	sigset_t all, before;
	int rc;

	if (o->started)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&o->thread, NULL, work_out, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set_sys(e, ERR_NOMEM, rc, "outbound: thread");
	o->started = true;
	return 0;
}

/* With the lock. */
static int queue(struct outbound *o, struct transfer *t, struct err *e)
{
	if (o->stopping)
		return err_set(e, ERR_UNAVAILABLE, NULL, "outbound: closing");
	if (o->n >= o->conf.transfers_max) {
		o->stats.refused++;
		return err_set(e, ERR_OVERLOADED, NULL, "outbound: %u calls are under way, which is the most",
			o->conf.transfers_max);
	}
	if (start_thread(o, e) != 0)
		return -1;
	list_push_back(&o->queued, &t->link);
	o->n++;
	curl_multi_wakeup(o->multi);
	return 0;
}

/* With the lock, which it gives away while it waits and asks. */
static void wait_done(struct outbound *o, struct transfer *t)
{
	while (t->state != TRANSFER_DONE) {
		const uint64_t until = clock_mono_ms() + ASK_MS;
		const struct timespec ts = { .tv_sec = (time_t)(until / 1000),
			.tv_nsec = (long)(until % 1000 * 1000000) };
		bool stop;

		(void)pthread_cond_timedwait(&t->done, &o->lock, &ts);
		if (t->state == TRANSFER_DONE || t->unwanted || t->rq->stop == NULL)
			continue;
		pthread_mutex_unlock(&o->lock);
		stop = t->rq->stop(t->rq->arg);
		pthread_mutex_lock(&o->lock);
		if (stop && t->state != TRANSFER_DONE) {
			t->unwanted = true;
			curl_multi_wakeup(o->multi);
		}
	}
}

/* After the last unlock nothing of *o is used: its end waits for callers up to there, and no further. */
static int run(struct outbound *o, struct transfer *t, struct err *e)
{
	int rc;

	pthread_mutex_lock(&o->lock);
	o->callers++;
	if ((rc = queue(o, t, e)) == 0) {
		wait_done(o, t);
		rc = t->unwanted ? err_set(e, ERR_CONFLICT, NULL, "told to stop") : transfer_verdict(t, e);
	}
	if (rc == 0)
		o->stats.sent++;
	else if (t->denied)
		o->stats.denied++;
	else
		o->stats.failed++;
	if (--o->callers == 0)
		pthread_cond_signal(&o->left);
	pthread_mutex_unlock(&o->lock);
	return rc;
}

int outbound_send(struct outbound *o, const struct outbound_request *rq, struct outbound_answer *out, struct err *e)
{
	struct transfer t;
	int rc;

	if (guard_check_url(&o->guard, "url", rq->url, e) != 0)
		return -1;
	if (transfer_init(&t, rq, &o->guard, o->conf.ca_file, e) != 0)
		return -1;
	rc = run(o, &t, e);
	transfer_fini(&t);
	if (rc == 0)
		*out = t.answer;
	else
		outbound_answer_fini(&t.answer);
	return rc;
}

void outbound_answer_fini(struct outbound_answer *a)
{
	buf_free(&a->body);
	buf_free(&a->head);
}

bool outbound_header(struct outbound_answer *a, const char *name, char *dst, size_t size)
{
	const size_t n = strlen(name);
	const char *line = buf_cstr(&a->head);
	bool found = false;

	for (; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *value = line + n + 1;
		size_t len;

		if (strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		value += strspn(value, " \t");
		len = strcspn(value, "\r\n");
		while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
			len--;
		found = len < size && str_fmt(dst, size, "%.*s", (int)len, value) == 0;
	}
	return found;
}

void outbound_stats(struct outbound *o, struct outbound_stats *out)
{
	pthread_mutex_lock(&o->lock);
	*out = o->stats;
	out->active = o->n;
	pthread_mutex_unlock(&o->lock);
}

const struct guard *outbound_guard(const struct outbound *o)
{
	return &o->guard;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int outbound_new(struct outbound **out, const struct outbound_conf *conf, struct err *e)
{
	struct outbound *o = calloc(1, sizeof *o);

	if (o == NULL)
		return err_set(e, ERR_NOMEM, NULL, "outbound: out of memory");
	o->conf = *conf;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->left, NULL);
	list_init(&o->queued);
	list_init(&o->active);
	if (guard_init(&o->guard, conf->allow, e) != 0)
		goto fail;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (o->multi = curl_multi_init()) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "outbound: out of memory");
		goto fail;
	}
	curl_multi_setopt(o->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)conf->per_host_max);
	curl_multi_setopt(o->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)conf->connections_max);
	curl_multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, (long)conf->connections_max);
	*out = o;
	return 0;
fail:
	outbound_free(o);
	return -1;
}

void outbound_free(struct outbound *o)
{
	if (o == NULL)
		return;
	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	if (o->started)
		curl_multi_wakeup(o->multi);
	pthread_mutex_unlock(&o->lock);
	if (o->started)
		pthread_join(o->thread, NULL);
	pthread_mutex_lock(&o->lock);
	while (o->callers > 0)
		pthread_cond_wait(&o->left, &o->lock);
	pthread_mutex_unlock(&o->lock);
	if (o->multi != NULL)
		curl_multi_cleanup(o->multi);
	pthread_cond_destroy(&o->left);
	pthread_mutex_destroy(&o->lock);
	free(o);
}
