/*
 * front - a shared port of the relay, HTTP or TLS: its listening sockets, and who claims which host name on it.
 *
 * Owner:  engine. Thread: control thread; front_seat() any.
 * Ends:   front_stop() after that of the mappings' service, when the workers were stopped; then front_free().
 */
#ifndef PORTWAY_RELAYD_VHOST_FRONT_H
#define PORTWAY_RELAYD_VHOST_FRONT_H

#include "relayd/loop/service.h"
#include "relayd/vhost/front_seat.h"

struct err;
struct front;
struct mapping_hosts;

enum front_kind { FRONT_HTTP, FRONT_TLS, FRONTS_N };

struct front_conf {
	uint8_t protocol;                         /* MAPPING_HTTP or MAPPING_TLS */
	const char *name;                         /* "http", "tls"; borrowed */
	const char *listen;                       /* address:port, several by comma, or "off"; borrowed */
	uint16_t port;                            /* where clients reach it; 0: the first of listen */
	uint32_t timeout_ms;                      /* to say which host it is for */
	uint32_t waiting_max, waiting_per_source; /* connections that have not said it; per_source 0: no limit */
	unsigned workers;
};

/* Each address:port of the list; -1: one of them is none, or there are too many. */
int front_parse_listen(const char *list, struct addr out[FRONT_LISTEN_MAX], unsigned *n) MUST_CHECK;

int front_new(
	struct front **out, const struct front_conf *conf, const struct service_env *env, struct err *e) MUST_CHECK;
void front_stop(struct front *f);
void front_free(struct front *f);
/* 0: it is off. */
uint16_t front_port(const struct front *f);
struct front_seat *front_seat(struct front *f, const struct worker *w);

/* All its sockets or none, now if they are not open yet. ERR_UNAVAILABLE when it is off. A lane that opens starts to accept at them. */
int front_open(struct front *f, struct err *e) MUST_CHECK;
/* Accepts at open sockets although no mapping asked for it. */
void front_listen(struct front *f);
/*
 * All of the names or none: ERR_ADDR_IN_USE names one that somebody else has on this relay. The claim is to be released; until then the
 * lanes of the mapping may serve them.
 */
struct front_claim;
int front_claim(struct front *f, const struct mapping_hosts *hosts, const char *mapping, struct front_claim **out,
	struct err *e) MUST_CHECK;
void front_release(struct front *f, struct front_claim *c); /* NULL is fine */

/* Accepts no more. */
void front_quiesce(struct front *f);
/* Ends what is not known to be for anybody. */
void front_cut(struct front *f);
int front_hand_over(struct front *f, handover_fn fn, void *arg);
/* A socket of the predecessor; takes the descriptor in any case. */
void front_adopt(struct front *f, const struct handover_socket *s);
void front_stats(const struct front *f, struct service_stats *sum); /* adds */
void front_counts(const struct front *f, struct front_counts *out);

#endif
