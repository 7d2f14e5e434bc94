/*
 * pool_conf - a pool and its backends as a relay runs them: the body of an object of kind OBJECT_POOL.
 *
 * Backends stand inside, so that one change of a backend is one object. Immutable once decoded; strings and lists are in `mem`,
 * strings are never NULL then (an encoder takes NULL for ""). All limits: 0 means none.
 */
#ifndef PORTWAY_PROTO_POOL_CONF_H
#define PORTWAY_PROTO_POOL_CONF_H

#include "common/base/macros.h"
#include "proto/conf_mem.h"
#include "proto/mapping_conf.h"

enum pool_algorithm {
	POOL_ROUND_ROBIN = 1,
	POOL_WEIGHTED_ROUND_ROBIN = 2,
	POOL_LEAST_CONNECTIONS = 3,
	POOL_RANDOM_TWO = 4,
	POOL_IP_HASH = 5,
	POOL_CONSISTENT_HASH = 6,
	POOL_PEAK_EWMA = 7,
	POOL_ADAPTIVE_AI = 8,
};
const char *pool_algorithm_name(uint8_t algorithm); /* as the API has it; "" for none of them */

enum pool_sticky { POOL_STICKY_NONE = 0, POOL_STICKY_COOKIE = 1, POOL_STICKY_SOURCE = 2 };
enum pool_check {
	POOL_CHECK_NONE = 0,
	POOL_CHECK_TCP = 1,
	POOL_CHECK_HTTP = 2,
	POOL_CHECK_GRPC = 3,
	POOL_CHECK_TLS = 4
};
enum pool_protocol {
	POOL_HTTP1 = 0,
	POOL_H2 = 1,  /* over TLS, by ALPN */
	POOL_H2C = 2, /* in clear, known beforehand */
};

#define POOL_BACKENDS_MAX 1024
#define POOL_STATUSES_MAX 16
#define POOL_COOKIE_SIZE  64
#define POOL_SECRET       32
#define POOL_PATH_SIZE    1024
#define POOL_BODY_SIZE    256
#define POOL_CA_MAX       (64 * 1024) /* bytes of PEM */
#define POOL_WEIGHT_MAX   1000

struct pool_status {
	uint16_t first, last;
};

struct pool_health {                      /* with POOL_CHECK_NONE nothing else matters, or is on the wire */
	uint8_t type;                     /* enum pool_check */
	uint32_t interval_ms, timeout_ms; /* HEALTH_*_MS of health_conf.h */
	uint32_t rise, fall;
	uint16_t port;                /* 0: the backend's own */
	const char *method, *path;    /* HTTP */
	const char *host;             /* Host field, or server name; "": the backend's */
	const char *service;          /* gRPC; "": the server as a whole */
	const char *body;             /* HTTP: has to be in the first 64 KiB; "": not looked at */
	struct pool_status *statuses; /* HTTP: expected ones; none: 200 to 399 */
	uint32_t n_statuses;
};

struct pool_outlier {
	uint32_t failures_in_row; /* 0: not looked at */
	uint32_t deviations;      /* times ten below the mean success rate; 0: rates are not looked at */
	uint32_t min_answers, min_targets;
	uint32_t base_ms, max_ms; /* out for so long */
	uint32_t max_percent;     /* of the backends at once */
};

struct pool_backend {
	const char *id, *host; /* host: IP literal or name, resolved by who dials */
	const char *client;    /* whose agent dials it; "": the relay does */
	const char *region;
	uint16_t port;
	bool backup;     /* for when no other is up */
	bool dial_any;   /* as a mapping's; for this one alone */
	bool own_health; /* false: it is checked as the pool says */
	struct pool_health health;
	uint32_t weight; /* 0 drains */
	uint32_t max_connections;
};

struct pool_conf {
	const char *tenant, *name;
	uint8_t algorithm; /* enum pool_algorithm */
	uint8_t sticky;    /* enum pool_sticky */
	const char *cookie;
	uint32_t sticky_ttl_s;       /* 0: as long as the browser is open */
	uint8_t secret[POOL_SECRET]; /* signs the cookie; on the wire with POOL_STICKY_COOKIE only */
	struct pool_health health;
	struct pool_outlier outlier;
	uint32_t panic_percent, headroom_percent; /* lb_pool.h; headroom at least 100 */
	uint32_t slow_start_ms;
	uint32_t queue_max, queue_timeout_ms;
	uint32_t retry_percent, retry_per_second; /* budget (lb_retry.h) */
	uint8_t protocol;                         /* enum pool_protocol */
	bool tls, tls_verify;
	const char *server_name, *ca; /* "": the backend's host; the system's authorities */
	uint32_t connect_timeout_ms, response_timeout_ms;
	uint32_t idle_timeout_ms; /* of connections kept for reuse */
	uint32_t idle_max;        /* of them for each backend and worker; 0: the relay's own number */
	uint8_t proxy_out;        /* enum mapping_proxy */
	bool dial_any;
	struct mapping_cidrs dial_allow; /* as a mapping's */
	struct pool_backend *backends;
	uint32_t n_backends;
	struct conf_mem mem; /* private */
};

void pool_conf_fini(struct pool_conf *p);
void pool_conf_encode(const struct pool_conf *p, struct buf *b);
/* Whole body or nothing: 0, or -1 and *p zeroed. */
int pool_conf_decode(struct pool_conf *p, const void *body, size_t n) MUST_CHECK;

#endif
