/*
 * hub - the live reader of the change log and those who listen to it over the API.
 *
 * One reader, while anybody listens, takes what is new and hands it to all who have come that far. Who is behind (he resumes, or
 * his changes came in the meantime) reads the log himself, in portions, until he has caught up.
 *
 *   BEHIND --read to the end--> LIVE        both: CHECKING now and then whether the credentials still hold
 *      ^---- missed a batch -----'
 *
 * A subscriber who does not take what is written to him is dropped and counted; one whose rights have changed is told so and
 * ended. He comes again with the id of the last event he had.
 *
 * Owner:  app. Thread: loop; hub_admit() and hub_subscribe() any.
 * Ends:   hub_free() after the handlers have ended and before the server goes.
 */
#ifndef PORTWAY_CONTROLD_EVENTS_HUB_H
#define PORTWAY_CONTROLD_EVENTS_HUB_H

#include "common/base/macros.h"
#include "controld/events/event.h"
#include "controld/rest/route.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct hub;
struct loop;
struct metrics;
struct reply;
struct store;

struct hub_conf {
	struct store *store;
	struct loop *loop;
	const struct authenticator *auth; /* borrowed */
	unsigned streams_max;             /* at once */
	unsigned streams_per_user_max;
	size_t queue_max;  /* bytes that a subscriber may leave untaken */
	uint64_t beat_ms;  /* between two signs of life */
	uint64_t check_ms; /* between two looks at the credentials */
};

int hub_new(struct hub **out, const struct hub_conf *conf, struct err *e) MUST_CHECK;
void hub_free(struct hub *h);
struct route_table hub_routes(struct hub *h);
struct metrics *hub_metrics(struct hub *h);

/* Where a subscriber begins: events beyond seq. */
struct hub_start {
	struct event_filter filter;
	const char *authorization, *api_key; /* what he showed; copied, looked at again */
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	int64_t seq;
	const char *gap; /* why something was missed, "too_old" or "another_log"; NULL: nothing was */
};
/* Answers with a stream; ERR_RATE_LIMITED or ERR_OVERLOADED when there are too many. For a handler. */
int hub_subscribe(struct hub *h, const struct hub_start *start, struct reply *rp, struct err *e) MUST_CHECK;
struct store *hub_store(struct hub *h);

#endif
