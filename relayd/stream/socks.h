/*
 * socks - the beginning of a connection to a SOCKS5 mapping: who it is, where it wants to go, and the answer (RFC 1928).
 *
 * CONNECT and UDP ASSOCIATE; a name is resolved by the agent that dials. What may be reached is looked at here as far as the
 * request tells it, and by the agent of the address that it really dials.
 *
 * Owner: a session. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_STREAM_SOCKS_H
#define PORTWAY_RELAYD_STREAM_SOCKS_H

#include "common/base/macros.h"
#include "common/net/socks5.h"

struct addr;
struct mapping_conf;
struct side;
struct worker;

struct socks {
	enum socks5_msg step;
	uint16_t n;
	bool asked;    /* the request is whole: it waits for an answer */
	bool answered; /* and has it */
	struct socks5_request request;
	uint8_t bytes[SOCKS5_MSG_MAX]; /* of the message under way */
};

struct socks *socks_new(void);
void socks_free(struct socks *s); /* NULL is fine */

enum socks_result {
	SOCKS_WAITS,    /* for more of the client's bytes */
	SOCKS_ASKS,     /* request says where to */
	SOCKS_SENDS,    /* it wants to send datagrams, each of which says where to */
	SOCKS_ENDS,     /* it has hung up */
	SOCKS_BROKEN,   /* not what the protocol says, or what is not served */
	SOCKS_STRANGER, /* it is not who may come in */
	SOCKS_DENIED    /* it may not go there */
};
/* Reads what is there, and answers it. */
enum socks_result socks_talk(
	struct socks *s, struct side *client, struct worker *w, const struct mapping_conf *conf) MUST_CHECK;
/* Once; -1: it did not leave. bound: where its datagrams are taken; NULL: nowhere. */
int socks_answer(struct socks *s, struct side *client, enum socks5_code code, const struct addr *bound);
/* Whether rules of a mapping ("": all) let it go there; a name that no rule has may, as its agent will see where it leads. */
bool socks_may_go(const char *host, uint16_t port, const char *rules);

#endif
