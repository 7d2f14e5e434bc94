/*
 * client_status - what the relays say about clients, in memory: which agents have links, where, since when. The status
 * and last_seen that the API prints come from here.
 *
 * fleet/ writes a node's complete list each time it is told; clients/ reads, and writes down from time to time when each
 * client was last seen, so that it is known after a restart.
 *
 * status: online if an agent of the client serves on an online node, else error if one is there, else offline.
 *
 * Thread: any (one lock inside).
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_STATUS_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_STATUS_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/client_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_statuses;

int client_statuses_new(struct client_statuses **out, struct err *e) MUST_CHECK;
void client_statuses_free(struct client_statuses *s);

/* The word of a node that is online; in parts, it counts when the last one has come. */
int client_statuses_node(struct client_statuses *s, const char *node_id, const char *node_name,
	const struct client_states *list, int64_t now_ms) MUST_CHECK;
/* It is offline, or gone. */
void client_statuses_node_gone(struct client_statuses *s, const char *node_id);

enum client_status { CLIENT_OFFLINE, CLIENT_ONLINE, CLIENT_ERROR };
const char *client_status_name(enum client_status status);

struct client_agent {
	char node_id[PROTO_ID_SIZE];
	char node_name[PROTO_NAME_SIZE];
	struct client_state state;
};
/* A target that one of them says is down, or that connections did not reach lately. */
struct client_down {
	size_t agent; /* its index */
	uint8_t kind; /* enum client_trouble_kind */
	char mapping[PROTO_ID_SIZE];
	char reason[CLIENT_REASON_SIZE];
};

#define CLIENT_AGENTS_MAX 64 /* of one client in an answer, */
#define CLIENT_DOWN_MAX   64 /* and of their targets */
struct client_live {
	enum client_status status;
	int64_t seen_ms; /* 0: the row says */
	size_t n;        /* agents: one for each instance and node */
	struct client_agent agents[CLIENT_AGENTS_MAX];
	size_t n_down;
	struct client_down down[CLIENT_DOWN_MAX];
	size_t more, more_down; /* that did not find room here */
};
void client_statuses_get(struct client_statuses *s, int64_t id, struct client_live *out);
enum client_status client_statuses_of(struct client_statuses *s, int64_t id);
size_t client_statuses_online(struct client_statuses *s); /* clients */
/* What nodes left out of their lists, as these were too long: agents, and troubles with targets. */
void client_statuses_untold(struct client_statuses *s, uint64_t *agents, uint64_t *troubles);

/* One client's last sign of life, to be written down. */
struct client_sign {
	char client[PROTO_ID_SIZE];
	char node_id[PROTO_ID_SIZE];
	char address[ADDR_STRLEN];
	char version[CLIENT_VERSION_SIZE];
	int64_t seen_ms;
};
/* At most `max` that are due: seen, and not written down for every_ms, or gone since. Each is given once. */
size_t client_statuses_due(
	struct client_statuses *s, struct client_sign *out, size_t max, int64_t now_ms, int64_t every_ms);

#endif
