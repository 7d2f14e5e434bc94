/*
 * mail - letters to people, through a mail service (Resend): each one is a job.
 *
 * A mail is sent with its job's id as idempotency key, so the service sends it once however often it is asked; and it is
 * asked again until it has answered.
 *
 * Owner:  app. Thread: any.
 * Ends:   mail_free(), after the jobs have stopped.
 */
#ifndef PORTWAY_CONTROLD_MAIL_MAIL_H
#define PORTWAY_CONTROLD_MAIL_MAIL_H

#include "common/base/macros.h"
#include "controld/jobs/kind.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdint.h>

struct err;
struct jobs;
struct mail;
struct outbound;
struct platform;

struct mail_conf {
	struct store *store;
	struct outbound *outbound;
	struct jobs *jobs;
	struct platform *platform;  /* sender, key of the service */
	const char *url;            /* of the service; borrowed */
	const char *webhook_secret; /* what it signs its events with, "whsec_..."; "": they are refused; borrowed */
	unsigned rate;              /* mails a second */
	uint64_t timeout_ms;        /* of one call */
};

int mail_new(struct mail **out, const struct mail_conf *conf, struct err *e) MUST_CHECK;
void mail_free(struct mail *m); /* takes NULL */

/* Borrowed; data is an object of what the letter takes (letter.h). */
struct mail_order {
	const char *to, *letter;
	const json_t *data;
	const char *key; /* no two with this key wait at once */
};
/* Queued in the caller's transaction. ERR_OVERLOADED: too many jobs wait; nothing was written. */
int mail_send_in(struct mail *m, struct db *tx, const struct mail_order *o, struct err *e) MUST_CHECK;

struct job_kinds mail_kinds(struct mail *m);
struct route_table mail_routes(struct mail *m);

extern const struct sql_table *const mail_sql[];
extern const size_t mail_sql_n;

#endif
