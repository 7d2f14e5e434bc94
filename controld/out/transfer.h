/*
 * transfer - one call on its way: libcurl's handle, what has come, how it ended. For outbound.c only.
 *
 * Owner:  the caller that waits for it, on its stack. Between transfer_init() and its end the handle is the out thread's.
 */
#ifndef PORTWAY_CONTROLD_OUT_TRANSFER_H
#define PORTWAY_CONTROLD_OUT_TRANSFER_H

#include "common/base/err.h"
#include "common/base/list.h"
#include "controld/out/outbound.h"

#include <curl/curl.h>
#include <pthread.h>

enum transfer_state { TRANSFER_QUEUED, TRANSFER_ACTIVE, TRANSFER_DONE };

struct transfer {
	struct list link;          /* outbound's list of those that wait, or are under way */
	enum transfer_state state; /* under outbound's lock */
	bool unwanted;             /* the caller does not want it any more: under the lock */
	const struct guard *guard;
	const struct outbound_request *rq;
	CURL *curl;
	struct curl_slist *headers;
	struct outbound_answer answer;
	bool denied;   /* an address that it was to dial is closed */
	bool too_long; /* its body */
	CURLcode code;
	pthread_cond_t done;
};

int transfer_init(struct transfer *t, const struct outbound_request *rq, const struct guard *guard, const char *ca_file,
	struct err *e) MUST_CHECK;
void transfer_fini(struct transfer *t); /* keeps the answer */
/* How it ended: 0, or -1 with *e. */
int transfer_verdict(const struct transfer *t, struct err *e);

#endif
