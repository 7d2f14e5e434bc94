#include "controld/mail/mail.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "controld/jobs/jobs.h"
#include "controld/mail/room.h"
#include "controld/mail/suppression.h"

#include <stdlib.h>

const struct sql_table *const mail_sql[] = { &suppression_sql };
const size_t mail_sql_n = ARRAY_LEN(mail_sql);

/* Each mail has a turn of its own and comes back at it: whoever waits holds no worker. */
uint64_t mail_take_turn(struct mail *m)
{
	const uint64_t now = clock_mono_ms(), gap = m->conf.rate > 0 ? 1000 / m->conf.rate : 0;
	uint64_t wait;

	pthread_mutex_lock(&m->lock);
	m->turn_ms = MAX(m->turn_ms, now);
	wait = m->turn_ms - now;
	m->turn_ms += gap;
	pthread_mutex_unlock(&m->lock);
	return wait;
}

void mail_hold(struct mail *m, uint64_t ms)
{
	const uint64_t until = clock_mono_ms() + ms;

	pthread_mutex_lock(&m->lock);
	m->turn_ms = MAX(m->turn_ms, until);
	pthread_mutex_unlock(&m->lock);
}

int mail_send_in(struct mail *m, struct db *tx, const struct mail_order *o, struct err *e)
{
	json_t *args = json_pack("{s:s, s:s, s:O}", "to", o->to, "template", o->letter, "data", o->data);
	const struct job_order job = { .kind = MAIL_KIND, .args = args, .key = o->key };
	struct job_placed placed = { .there = false };
	const int rc = args != NULL ? jobs_enqueue_in(m->conf.jobs, tx, &job, &placed, e)
	                            : err_set(e, ERR_NOMEM, NULL, "mail: out of memory");

	json_decref(args);
	return rc;
}

struct job_kinds mail_kinds(struct mail *m)
{
	return (struct job_kinds){ mail_job_kinds, mail_job_kinds_n, m };
}

struct route_table mail_routes(struct mail *m)
{
	return (struct route_table){ mail_rows, mail_rows_n, m };
}

int mail_new(struct mail **out, const struct mail_conf *conf, struct err *e)
{
	struct mail *m = calloc(1, sizeof *m);

	if (m == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mail: out of memory");
	m->conf = *conf;
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

void mail_free(struct mail *m)
{
	if (m == NULL)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}
