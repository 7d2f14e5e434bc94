/*
 * link_server_room - the inside of the link server: what link_server.c (the socket, its listener), link_peer.c
 * (connections) and link_request.c (contexts, and the requests that they carry) share. Private to the three.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_LINK_SERVER_ROOM_H
#define PORTWAY_CONTROLD_FLEET_LINE_LINK_SERVER_ROOM_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/base/map.h"
#include "common/net/addr.h"
#include "controld/fleet/line/link_server.h"
#include "controld/fleet/line/mailbox.h"
#include "proto/msg.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>

/*
 * One connection. Made by ADD_PRE on a thread of nng's; from then on the mailbox's thread has it, until the letter that
 * REM_POST posts frees it.
 */
struct link_peer {
	struct link_server *server;
	nng_pipe pipe;
	uint32_t id; /* of the pipe */
	char node[PROTO_ID_SIZE];
	char serial[48]; /* of its certificate */
	struct addr from;
	uint64_t since_ms;
	struct list stranger; /* in the server's list of them */
	bool spent;           /* a stranger that has sent its one message */
	struct list held;
	size_t n_held;
	struct letter gone;
};

/*
 * One context, and the request it carries. nng's threads own it while it receives or sends, the mailbox's while it is held.
 */
struct link_request {
	struct link_server *server;
	struct link_request *next; /* of the server */
	nng_ctx ctx;
	nng_aio *aio;
	int state; /* link_request.c */
	nng_msg *msg;
	struct letter arrived;
	struct link_peer *peer; /* while held; NULL when the connection is gone */
	struct list of_peer;
	char node[PROTO_ID_SIZE];
	char serial[48]; /* of its certificate */
	struct addr from;
};

struct link_server {
	struct link_server_conf conf;
	nng_socket socket;
	nng_listener listener;
	struct nng_tls_slot *tls;
	bool open; /* the socket */
	uint16_t port;
	struct link_request *requests;
	atomic_size_t n_contexts, n_idle;
	pthread_mutex_t lock; /* guards peers, strangers and n_strangers */
	struct map peers;     /* by the id of the pipe */
	struct list strangers;
	size_t n_strangers;
	atomic_uint_fast64_t refused, expelled, strangers_refused, bytes_in, bytes_out;
};

/* link_peer.c; the first three on threads of nng's, arg is the server. */
bool link_peer_admit(const struct cert_info *cert, void *arg);
void link_peer_on_add(nng_pipe pipe, nng_pipe_ev ev, void *arg);
void link_peer_on_gone(nng_pipe pipe, nng_pipe_ev ev, void *arg);
struct link_peer *link_peer_find(struct link_server *s, uint32_t id); /* or NULL */

/* link_request.c */
/* Some more, up to contexts_max. */
int link_request_add_contexts(struct link_server *s, struct err *e) MUST_CHECK;
void link_request_free(struct link_request *rq); /* the socket is closed */

#endif
