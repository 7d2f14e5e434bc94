/*
 * issue - one certificate on its way from the CA: what issue_job.c (the conversation), issue_order.c (the order) and issue_answers.c
 * (relays answer first) share. Private to the three.
 */
#ifndef PORTWAY_CONTROLD_CERTS_ISSUE_H
#define PORTWAY_CONTROLD_CERTS_ISSUE_H

#include "controld/acme/acme_account.h"
#include "controld/acme/acme_client.h"
#include "controld/certs/room.h"
#include "controld/jobs/job_run.h"

#include <stdbool.h>
#include <stddef.h>

struct issue {
	struct certs *certs;
	struct job_run *run;
	struct certificate c; /* as it was at the beginning, without its key */
	struct acme_account account;
	struct acme_client client;
	bool told; /* the CA was told to look: what fails now counts there */
	bool over; /* nothing comes of the order any more */
	bool late; /* relays did not confirm in time */
};

/* What the CA answers; body is the caller's to free in any case. An empty payload asks for what is there. */
int issue_post(struct issue *i, const char *url, const char *payload, struct buf *body, struct err *e) MUST_CHECK;
/* The order under way, if something can come of it yet, else a new one. None of its proofs is older than it. */
int issue_find_order(struct issue *i, struct acme_order *o, struct err *e) MUST_CHECK;
int issue_read_order(struct issue *i, struct acme_order *o, struct err *e) MUST_CHECK;
int issue_read_authorization(struct issue *i, const char *url, struct acme_authorization *a, struct err *e) MUST_CHECK;

/* The challenge of the kind that this certificate is to be shown by. */
const struct acme_challenge *issue_challenge(const struct issue *i, const struct acme_authorization *a);
/*
 * Puts the answers to all that are pending, and waits until every relay that serves the names has confirmed them. ERR_TIMEOUT names those
 * that have not.
 */
int issue_answers(struct issue *i, const struct acme_authorization *all, size_t n, struct err *e) MUST_CHECK;

#endif
