#include "controld/fleet/line/mailbox.h"

#include "common/base/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct list letters;
};

void letter_init(struct letter *l, void (*open)(struct letter *l))
{
	list_init(&l->link);
	l->posted = false;
	l->open = open;
}

int mailbox_new(struct mailbox **out, struct err *e)
{
	struct mailbox *m = calloc(1, sizeof *m);
	pthread_condattr_t attr;

	if (m == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mailbox: out of memory");
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->arrived, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&m->letters);
	*out = m;
	return 0;
}

void mailbox_free(struct mailbox *m)
{
	if (m == NULL)
		return;
	pthread_cond_destroy(&m->arrived);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void mailbox_post(struct mailbox *m, struct letter *l)
{
	pthread_mutex_lock(&m->lock);
	if (!l->posted) {
		l->posted = true;
		if (list_empty(&m->letters))
			pthread_cond_signal(&m->arrived);
		list_push_back(&m->letters, &l->link);
	}
	pthread_mutex_unlock(&m->lock);
}

static struct letter *mailbox_take(struct mailbox *m, struct list *batch)
{
	struct list *first;

	pthread_mutex_lock(&m->lock);
	first = list_first(batch);
	if (first != NULL) {
		list_remove(first);
		CONTAINER_OF(first, struct letter, link)->posted = false;
	}
	pthread_mutex_unlock(&m->lock);
	return first == NULL ? NULL : CONTAINER_OF(first, struct letter, link);
}

/* Only what has come before the first is opened: letters that post each other cannot keep the thread from its timers.
 */
static void mailbox_open(struct mailbox *m, struct list *batch)
{
	struct letter *l;

	while ((l = mailbox_take(m, batch)) != NULL)
		l->open(l);
}

void mailbox_wait(struct mailbox *m, uint64_t deadline_mono_ms)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_mono_ms / 1000),
		.tv_nsec = (long)(deadline_mono_ms % 1000) * 1000000,
	};
	struct list batch;
	int rc = 0;

	list_init(&batch);
	pthread_mutex_lock(&m->lock);
	while (list_empty(&m->letters) && rc == 0)
		rc = pthread_cond_timedwait(&m->arrived, &m->lock, &until);
	list_splice(&batch, &m->letters);
	pthread_mutex_unlock(&m->lock);
	mailbox_open(m, &batch);
}

void mailbox_drain(struct mailbox *m)
{
	struct list batch;

	list_init(&batch);
	pthread_mutex_lock(&m->lock);
	list_splice(&batch, &m->letters);
	pthread_mutex_unlock(&m->lock);
	mailbox_open(m, &batch);
}
