/*
 * outbound - HTTP calls to the outside, for workers that may wait: webhooks, panels, mail, billing.
 *
 * One thread drives all transfers (libcurl multi: HTTP/2, connections used again); a caller blocks until its answer is
 * there, its time is over, or it is told to stop. Each address is checked at the moment it is dialled (guard.h). Redirects
 * are never followed: an answer of 3xx is an answer. No proxy of the environment stands between.
 *
 * Owner:  app. Thread: outbound_send() any.
 * Ends:   outbound_free() fails what is under way, waits for its callers, and joins the thread.
 */
#ifndef PORTWAY_CONTROLD_OUT_OUTBOUND_H
#define PORTWAY_CONTROLD_OUT_OUTBOUND_H

#include "common/base/buf.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct guard;
struct outbound;

struct outbound_conf {
	const char *allow;        /* ranges that are open although they are special; "" for none */
	const char *ca_file;      /* what vouches for certificates; "": the system's; borrowed */
	unsigned transfers_max;   /* under way or waiting; more are refused */
	unsigned per_host_max;    /* connections to one host */
	unsigned connections_max; /* in all */
};

int outbound_new(struct outbound **out, const struct outbound_conf *conf, struct err *e) MUST_CHECK;
void outbound_free(struct outbound *o);
/* To check URLs when they are given, borrowed. */
const struct guard *outbound_guard(const struct outbound *o);

#define OUTBOUND_HEAD_MAX 16384 /* bytes of an answer's headers that are kept */

struct outbound_request {   /* borrowed for the call */
	const char *method; /* "GET", "POST", ... */
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end; may be NULL */
	const void *body;           /* NULL: none */
	size_t body_n;
	uint64_t timeout_ms;     /* for all of it */
	uint64_t connect_ms;     /* for resolving, connecting and TLS; 0: 5 s */
	size_t answer_max;       /* bytes of the body; a longer one is an error */
	bool (*stop)(void *arg); /* asked a few times each second; may be NULL */
	void *arg;
};

struct outbound_answer {
	int status;
	struct buf body; /* buf_cstr() for a text */
	struct buf head; /* its header lines; see outbound_header() */
};

/*
 * 0: an answer came, whatever its status; outbound_answer_fini() frees it. Else nothing is to be freed, and the code says
 * how far it got: ERR_VALIDATION no URL, ERR_DENIED_TARGET a closed address, ERR_UNAVAILABLE nothing was sent,
 * ERR_OVERLOADED too many are under way, ERR_TIMEOUT and ERR_IO it may have been done, ERR_CRYPTO the certificate does not
 * check, ERR_TOO_LARGE, ERR_CONFLICT told to stop.
 */
int outbound_send(
	struct outbound *o, const struct outbound_request *rq, struct outbound_answer *out, struct err *e) MUST_CHECK;
void outbound_answer_fini(struct outbound_answer *a);
/* The value of the (last) header of this name, case ignored; false when it is not there or does not fit. */
bool outbound_header(struct outbound_answer *a, const char *name, char *dst, size_t size) MUST_CHECK;

struct outbound_stats {
	uint64_t sent, failed, denied, refused; /* denied: by their address when dialled; refused: too many under way */
	unsigned active;
};
void outbound_stats(struct outbound *o, struct outbound_stats *out);

#endif
