/*
 * sim_agent_state - what an agent of sim_agent.h is made of. Its own thread's, but for what is said to be atomic.
 */
#ifndef PORTWAY_TESTS_RELAYD_SIM_AGENT_STATE_H
#define PORTWAY_TESTS_RELAYD_SIM_AGENT_STATE_H

#include "common/crypto/key.h"
#include "common/tunnel/frame_hello.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/fd_budget.h"
#include "common/uv/worker.h"

#include <pthread.h>

#define LINKS_MAX       4
#define VISIT_DATAGRAMS 20 /* of a visit, each of 1,000 bytes */

struct echo {
	struct stream stream;
	struct agent *agent;
};

struct alink {
	struct tunnel_link link;
	struct agent *agent;
	bool up, closed;
	struct frame_end refused;
	struct stream asking; /* of ask_behind() */
};

struct agent {
	pthread_t thread;
	struct worker worker;
	struct fd_budget fds;
	struct tunnel_desk desk;
	struct tls_ctx *tls;
	const struct key *key;
	struct frame_hello hello;
	struct alink links[LINKS_MAX];
	unsigned n; /* links wanted */
	struct task quit, go_away, say, visit, again;
	const struct key *next; /* of `again`, */
	unsigned times;         /* and how often at once */
	struct list started;    /* in the list of that name */
	/* for the test's thread: atomic */
	unsigned up, closed, code, streams, said;
	bool mute;        /* opens streams and answers nothing */
	bool dead;        /* its target: streams are refused; atomic */
	unsigned checked; /* the last one's type; atomic */
	unsigned checks;  /* CHECK frames; atomic */
	bool up_now;      /* what `say` says of map_a, */
	const char *of;   /* or of this mapping, */
	const char *why;  /* and why it is down; NULL: connection refused */
	unsigned offers, withdrawn;
	const char *visit_mapping;
	uint8_t visit_kind; /* enum frame_kind; 0: TCP */
	struct stream visiting;
	unsigned visit_code, visit_back; /* 0: not refused; bytes that came back */
	const char *visit_words;         /* NULL: 1,000 bytes */
	size_t visit_words_n;
	uint8_t visit_heard[64]; /* the first of those that came back */
};

#endif
