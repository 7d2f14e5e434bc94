/*
 * link_server - where relays come in: one nng REP socket over TLS 1.3, and a context for every request that is open.
 *
 * nng's threads only put what came into the mailbox; whoever owns the mailbox gets requests by on_request() and ends
 * each exactly once, by reply or drop, as late as it likes. Contexts are added as they are needed and never closed
 * while the server runs.
 *
 * A peer without a certificate is a stranger: it may send one MSG_JOIN of at most PROTO_JOIN_MAX bytes within
 * stranger_ms; anything else closes its connection. A peer with a certificate is the node its CN names, whatever its
 * messages say; it comes in only while `admit` says so.
 *
 * Owner:  fleet. Thread: the mailbox's, but for link_server_stats().
 * Ends:   link_server_close(), with every request dropped; the mailbox must not be waited for any more. nng 1.5 can wait
 *         for ever in closing a TLS socket: then it is left behind, which only a program that ends may do.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_LINK_SERVER_H
#define PORTWAY_CONTROLD_FLEET_LINE_LINK_SERVER_H

#include "common/base/macros.h"
#include "common/crypto/tls.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct buf;
struct err;
struct link_request;
struct link_server;
struct mailbox;

struct link_server_ops {
	/* On a thread of nng's: only looks up. */
	bool (*admit)(void *owner, const struct cert_info *cert);
	void (*on_request)(void *owner, struct link_request *rq);
	/* The connection of an open request is gone; it is still to be ended. */
	void (*on_lost)(void *owner, struct link_request *rq);
};

/* Read when it is given, and not kept. */
struct link_server_certs {
	const char *cert_pem; /* chain */
	const char *key_pem;
	const char *ca_pem; /* of whom relays' certificates may be */
};

struct link_server_conf {
	const char *listen; /* "127.0.0.1:7400"; port 0: the kernel's choice */
	struct link_server_certs certs;
	size_t contexts_max; /* open requests */
	size_t peers_max;    /* connections */
	size_t handshakes_max;
	size_t strangers_max;
	size_t strangers_per_source; /* of these from one address */
	size_t strangers_here;       /* of these from this machine, where a proxy may stand for many */
	uint64_t stranger_ms;
	const struct link_server_ops *ops;
	void *owner;
	struct mailbox *mailbox;
};

int link_server_open(struct link_server **out, const struct link_server_conf *c, struct err *e) MUST_CHECK;
/*
 * True: closed and freed. False: nng did not come to an end within 2 s; the server, its mailbox and the owner's `admit`
 * must stay as they are until the process ends. Takes NULL.
 */
bool link_server_close(struct link_server *s);
uint16_t link_server_port(const struct link_server *s);
/* For the connections that come from now on. */
int link_server_change(struct link_server *s, const struct link_server_certs *certs, struct err *e) MUST_CHECK;
/* The nodes that are connected, and by which certificate (serial number); copied, malloc'ed. */
struct link_server_node {
	char id[PROTO_ID_SIZE];
	char serial[48];
	bool stray; /* the caller's mark */
};
int link_server_nodes(struct link_server *s, struct link_server_node **out, size_t *n, struct err *e) MUST_CHECK;
/* Closes every connection of this node. */
void link_server_close_node(struct link_server *s, const char *node);
/* Closes those by one certificate. */
void link_server_close_cert(struct link_server *s, const struct link_server_node *cert);
/* Closes strangers and handshakes that took too long, or are too many; once a second. */
void link_server_tick(struct link_server *s, uint64_t now_ms);

const char *link_request_node(const struct link_request *rq);   /* "" for a stranger */
const char *link_request_serial(const struct link_request *rq); /* of the node's certificate */
const struct addr *link_request_from(const struct link_request *rq);
const void *link_request_bytes(const struct link_request *rq, size_t *n);
void link_request_reply(struct link_request *rq, const struct buf *message);
void link_request_drop(struct link_request *rq);
/* Drops it and closes the connection: what came is not ours. */
void link_request_expel(struct link_request *rq);

struct link_server_stats {
	uint64_t peers, strangers, contexts, idle; /* now */
	uint64_t refused, expelled;                /* connections */
	uint64_t strangers_refused;                /* of these: more than their address may have */
	uint64_t bytes_in, bytes_out;              /* of messages */
};
void link_server_stats(struct link_server *s, struct link_server_stats *out);

#endif
