/*
 * trouble - why a request got no whole answer of a backend: one row each, with what is answered, counted and said.
 *
 * X(word, status, meter, told, exact): the word stands in the access log and in metrics; status is answered if nothing was yet; meter is
 * the counter of route and backend, or NONE; told is for whoever asked, who may be a stranger: nothing of the inside; exact is for the
 * access log. Words are promises: append only.
 */
#ifndef PORTWAY_RELAYD_HTTP_TROUBLE_H
#define PORTWAY_RELAYD_HTTP_TROUBLE_H

#include "proto/report.h"

#define TOLD_DOWN "no server of this site is up now"
#define TOLD_BUSY "the servers of this site have no room now, try again in a moment"
#define TOLD_AWAY "the server of this site cannot be reached now"
#define TOLD_LATE "the server of this site did not answer in time"

#define HTTP_TROUBLES(X)                                                                                             \
	X(no_pool, 503, refused_down, TOLD_DOWN, "the pool is not here")                                             \
	X(no_backends, 503, refused_down, TOLD_DOWN, "the pool has no backends")                                     \
	X(drained, 503, refused_down, TOLD_DOWN, "all backends of the pool have weight 0")                           \
	X(down, 503, refused_down, TOLD_DOWN, "no backend is up: their health checks fail")                          \
	X(put_aside, 503, refused_down, TOLD_DOWN, "no backend is up: they are put aside for how they answered")     \
	X(queue_full, 503, refused_limit, TOLD_BUSY, "no backend has a free place, and the queue is full")           \
	X(queue_timeout, 503, refused_limit, TOLD_BUSY, "no backend had a free place in time")                       \
	X(route_full, 503, refused_limit, TOLD_BUSY, "the route has as many requests as it may have")                \
	X(resource, 503, refused_resource, TOLD_BUSY, "no memory or descriptor for a connection")                    \
	X(unresolved, 502, refused_dial, TOLD_AWAY, "the backend's name does not resolve")                           \
	X(forbidden, 502, refused_dial, TOLD_AWAY, "the backend's address may not be dialled")                       \
	X(not_listening, 502, refused_dial, TOLD_AWAY, "the backend refused the connection")                         \
	X(connect_timeout, 502, refused_dial, TOLD_AWAY, "the backend did not take the connection in time")          \
	X(unreachable, 502, refused_dial, TOLD_AWAY, "the backend could not be reached")                             \
	X(tls, 502, refused_dial, TOLD_AWAY, "the TLS handshake with the backend failed")                            \
	X(no_agent, 502, refused_dial, TOLD_AWAY, "no agent of the backend's client is here")                        \
	X(agent_down, 502, refused_down, TOLD_AWAY, "agents are here, and the backend works at none of them")        \
	X(agent_shut, 502, refused_destination, TOLD_AWAY,                                                           \
		"the config of the backend's client does not let the port through")                                  \
	X(agent_failed, 502, refused_dial, TOLD_AWAY, "the agent did not reach the backend")                         \
	X(client_full, 503, refused_limit, TOLD_BUSY, "the backend's client has as many connections as it may have") \
	X(no_stream, 503, refused_limit, TOLD_BUSY, "the backend takes no more requests on its connections")         \
	X(ended, 502, NONE, "the server of this site broke off before it had answered",                              \
		"the backend ended before its answer was whole")                                                     \
	X(timeout, 504, NONE, TOLD_LATE, "the backend did not answer in time")                                       \
	X(route_timeout, 504, NONE, TOLD_LATE, "the time for the request is over")                                   \
	X(bad_answer, 502, NONE, "the server of this site gave an answer that cannot be passed on",                  \
		"the backend's answer breaks the rules of HTTP")                                                     \
	X(no_websocket, 501, NONE, "there is no WebSocket at this address",                                          \
		"the backend speaks HTTP/2 and takes no WebSocket there")

enum http_trouble {
	HTTP_TROUBLE_none,
#define X(word, status, meter, told, exact) HTTP_TROUBLE_##word,
	HTTP_TROUBLES(X)
#undef X
		HTTP_TROUBLES_N
};

struct trouble {
	const char *word, *told, *exact; /* "" of HTTP_TROUBLE_none */
	uint16_t status;
	int meter; /* enum meter_counter, or -1 */
};

const struct trouble *trouble_of(enum http_trouble t);

#endif
