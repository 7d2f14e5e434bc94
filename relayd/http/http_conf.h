/*
 * http_conf - what an operator sets of the HTTP engine (relayd/settings.c), and what it counts of itself.
 *
 * Owner: engine; borrowed by the service. Immutable.
 */
#ifndef PORTWAY_RELAYD_HTTP_HTTP_CONF_H
#define PORTWAY_RELAYD_HTTP_HTTP_CONF_H

#include "common/http/http.h"
#include "proto/mapping_cidrs.h"
#include "relayd/http/trouble.h"

struct http_filters;

struct http_conf {
	struct http_limits limits;
	uint64_t max_body;            /* of a request, where the route has no limit of its own; 0: none */
	uint32_t head_timeout_ms;     /* for a request's head, from its first byte */
	uint32_t body_timeout_ms;     /* silence within a request's content, or of a client that takes no answer */
	uint32_t idle_timeout_ms;     /* between two requests of a connection */
	uint32_t response_timeout_ms; /* until a backend answers, where neither route nor pool says it */
	uint32_t tunnel_timeout_ms;   /* silence after an Upgrade or CONNECT */
	uint32_t backend_idle_ms;     /* a connection waits for a next request */
	uint32_t backend_idle_max;    /* of them, for each backend and worker */
	uint32_t drain_ms;            /* what a request that ends early still sends is read for so long */
	uint64_t mirror_body_max;     /* content of a request that is copied to a mirror pool, bytes */
	uint32_t mirror_max;          /* copies at once, on each worker */
	const char *region;           /* of this relay; "": none */
	const struct http_filters *filters; /* NULL: none */
	struct mapping_cidrs trusted;       /* proxies in front: what they say of their clients is believed */
};

/* X(name, what): of the whole relay, counting up; each refusal with its reason. */
#define HTTP_COUNTERS(X)                                                                  \
	X(connections, "connections taken")                                               \
	X(h2_connections, "of these, HTTP/2")                                             \
	X(h2_abuse, "HTTP/2 connections ended: frames that cost only us")                 \
	X(tls_handshakes, "TLS handshakes")                                               \
	X(tls_failed, "TLS handshakes that failed")                                       \
	X(tls_slow, "TLS handshakes that did not end in time")                            \
	X(requests, "requests whose head was whole")                                      \
	X(bad_request, "refused: against the rules of HTTP (400, 501, 505)")              \
	X(too_large, "refused: head or content larger than allowed (413, 414, 431)")      \
	X(no_route, "refused: no route takes them (404, 421)")                            \
	X(forbidden, "refused: from an address that may not (403)")                       \
	X(no_quota, "refused: the requests of the tenant's month are used up (429)")      \
	X(slow_head, "ended: a head that did not come in time (408)")                     \
	X(slow_body, "ended: content that did not come in time (408)")                    \
	X(slow_client, "ended: a client that takes no answer")                            \
	X(idle_closed, "connections closed between two requests")                         \
	X(unavailable, "answered 503: no backend, or none with a free place in time")     \
	X(bad_gateway, "answered 502: a backend that could not be reached, or ended")     \
	X(gateway_timeout, "answered 504: a backend that did not answer in time")         \
	X(retried, "requests that were sent again")                                       \
	X(reused, "requests on a connection to a backend that was there already")         \
	X(opened, "connections to backends")                                              \
	X(backends_spared, "idle connections to backends closed for want of descriptors") \
	X(clients_spared, "idle connections of clients closed for want of descriptors")   \
	X(backend_tls, "TLS handshakes with backends that failed")                        \
	X(probes, "probes of backends, for adaptive_ai")                                  \
	X(probes_failed, "probes of backends without an answer")                          \
	X(aborted, "answers that could not be finished")                                  \
	X(client_gone, "clients that went before their answer was done")                  \
	X(mirrored, "copies of requests sent to mirror pools")                            \
	X(mirror_answered, "copies that a backend answered; the answer is dropped")       \
	X(mirror_failed, "copies without an answer: no backend, or an end, or time")      \
	X(mirror_dropped, "copies not sent: too many, too long, or not whole")            \
	X(resource, "refused: no memory or descriptor")

enum http_counter {
#define X(name, what) HTTP_COUNT_##name,
	HTTP_COUNTERS(X)
#undef X
		HTTP_COUNTERS_N
};

struct http_counts {
	uint64_t value[HTTP_COUNTERS_N];
	uint64_t troubles[HTTP_TROUBLES_N];
	uint64_t connections_now, requests_now, backends_now, mirrors_now;
};

#endif
