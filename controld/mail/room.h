/*
 * room - the inside of struct mail, for the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_MAIL_ROOM_H
#define PORTWAY_CONTROLD_MAIL_ROOM_H

#include "controld/mail/mail.h"

#include <pthread.h>

struct mail {
	struct mail_conf conf;
	pthread_mutex_t lock;
	uint64_t turn_ms; /* under the lock: when the next mail may be sent, monotonic */
};

#define MAIL_KIND     "email"
#define MAIL_DATA_MAX 16384 /* bytes of a mail's values, as JSON */

/* The next turn: milliseconds until then. */
uint64_t mail_take_turn(struct mail *m);
/* The service asked to wait: nobody's turn before then. */
void mail_hold(struct mail *m, uint64_t ms);

/* mail_job.c */
extern const struct job_kind mail_job_kinds[];
extern const size_t mail_job_kinds_n;

/* mail_api.c */
extern const struct route mail_rows[];
extern const size_t mail_rows_n;

#endif
