/*
 * quick - a command without set-up: a client (remembered), a mapping, the agent in the foreground, and the mapping is gone
 * again at the end. Who is not logged in comes through the anonymous door where the kind lets him, and speaks as that client
 * with its token.
 *
 * What differs is a kind: services of this machine (quick_service.c), the network around it (socks.c), what another client
 * has, on a port here (visit.c). The client is quick_account.c's, the mapping quick_mapping.c's.
 *
 * Owner: quick_run(), while it runs; one thread.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_H

#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/commands/quick_client.h"
#include "common/base/macros.h"

#include <jansson.h>

#define QUICK_HOST_MAX  254
#define QUICK_TEXT_MAX  (QUICK_HOST_MAX + 16) /* "host:port" */
#define QUICK_ALLOW_MAX 600

struct agent_visit;
struct quick;

/* Where the mapping is to be; who has no account gets a port, or a name, that is picked. */
struct quick_place {
	uint16_t port;    /* 0: any */
	const char *host; /* "": any */
};

struct quick_kind {
	const char *protocol; /* of the mapping, unless prepare() says another */
	const char *scheme;   /* before its addresses, "http://" */
	bool account;         /* it needs one */
	/* Takes words and options, before anything is asked; -1: they are wrong. */
	int (*take)(struct quick *q);
	/* What has to be known before the mapping is made; NULL: nothing. */
	int (*prepare)(struct quick *q);
	bool target; /* it leads to host:port of here, over TCP: whether that answers is looked at */
	/* Puts what is its own into the mapping. */
	int (*describe)(struct quick *q, json_t *body, const struct quick_place *at);
	/* It is usable; at the first link when on_visit is NULL. */
	void (*print)(struct quick *q);
	/* What the agent says of where it listens; NULL: it listens nowhere. */
	void (*on_visit)(void *q, const struct agent_visit *v);
};

struct quick {
	struct invocation *in;
	const struct quick_kind *kind;
	void *own;            /* the kind's */
	const char *protocol; /* of the mapping */
	char host[QUICK_HOST_MAX];
	uint16_t port;               /* the target's */
	char purpose[300];           /* what is remembered with the port, "tcp 127.0.0.1:22" */
	char allow[QUICK_ALLOW_MAX]; /* what the agent may dial, */
	char listen[QUICK_TEXT_MAX]; /* and where it may listen; "off" */
	struct api *api;
	bool anonymous;
	char *token; /* of the anonymous client */
	struct quick_client client;
	struct quick_client *opened; /* NULL: not yet */
	char mapping[40];            /* id; "": none yet */
	uint16_t source_port;
	char host_name[254];  /* "": it is reached by its port */
	char reached_at[300]; /* by host name: its URL */
	char expires_at[40];  /* "": it does not end by itself */
	int64_t bandwidth;    /* bytes/s that may pass without an account; 0: as many as there are */
	bool unwanted;        /* its credentials were refused for good */
	bool ready;           /* it was said where it can be reached */
	char away[160];       /* why the target cannot be reached; "": it can, or that is not known */
	json_t *relays;       /* the answer: ca_fingerprint, items; NULL: not asked yet */
	struct failure f;
};

/* The whole command; its exit code. own: given to the kind as it is. */
int quick_run(struct invocation *in, const struct quick_kind *kind, void *own);

/* ---- for kinds ---------------------------------------------------------------------------------------------------- */
bool quick_is_by_host(const struct quick *q);
int quick_find_relays(struct quick *q) MUST_CHECK;
void quick_print_target(const struct quick *q, char dst[QUICK_TEXT_MAX]);
/* Of each relay: the host where agents meet it, with the port of the mapping; login: "user:password@" or "". */
json_t *quick_addresses(const struct quick *q, const char *login);
/* A list of what stands between commas. */
json_t *quick_list_of(const char *text);

#endif
