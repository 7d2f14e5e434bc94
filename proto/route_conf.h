/*
 * route_conf - a route as a relay runs it: which requests it takes, what is done to them, and the pools that they go to. The
 * body of an object of kind OBJECT_ROUTE.
 *
 * Immutable once decoded; strings and lists are in `mem`, strings are never NULL then (an encoder takes NULL for ""). All
 * limits: 0 means none.
 */
#ifndef PORTWAY_PROTO_ROUTE_CONF_H
#define PORTWAY_PROTO_ROUTE_CONF_H

#include "common/base/macros.h"
#include "proto/conf_mem.h"
#include "proto/mapping_cidrs.h"
#include "proto/route_parts.h"

struct buf;

enum route_ssl { ROUTE_SSL_OFF = 0, ROUTE_SSL_ON = 1, ROUTE_SSL_ONLY = 2 }; /* in clear; both; over TLS */
enum route_client_auth { ROUTE_CLIENT_NONE = 0, ROUTE_CLIENT_OPTIONAL = 1, ROUTE_CLIENT_REQUIRED = 2 };

/* When a request may be tried again; what was sent is, only if its method is idempotent. */
#define ROUTE_RETRY_CONNECT 1u /* no connection */
#define ROUTE_RETRY_RESET   2u /* the connection ended before an answer */
#define ROUTE_RETRY_TIMEOUT 4u
#define ROUTE_RETRY_5XX     8u /* 502, 503, 504 */
#define ROUTE_RETRY_ALL     15u

#define ROUTE_HOSTS_MAX   64
#define ROUTE_WANTS_MAX   8
#define ROUTE_TARGETS_MAX 16
#define ROUTE_RULES_MAX   32
#define ROUTE_PAGES_MAX   16
#define ROUTE_PATH_SIZE   1024
#define ROUTE_VALUE_SIZE  2048
#define ROUTE_ORIGIN_SIZE 512
#define ROUTE_MEDIA_SIZE  128
#define ROUTE_PAGE_MAX    (16 * 1024)
#define ROUTE_CA_MAX      (64 * 1024)
#define ROUTE_WEIGHT_MAX  1000
#define ROUTE_RETRIES_MAX 3
#define ROUTE_METHODS     0x3ffu /* bits: 1 << HTTP_GET, ... (common/http/http.h); bit 0: any other method */

struct route_conf {
	const char *tenant, *name;
	bool enabled;
	uint32_t priority; /* of routes that ask for the same: the lower one first */
	/* which requests */
	const char **hosts; /* patterns (common/net/host_name.h), or "*" */
	uint32_t n_hosts;
	const char *path_prefix; /* begins with '/', or "" */
	uint32_t methods;        /* 0: all */
	struct route_want *fields;
	uint32_t n_fields;
	uint8_t ssl; /* enum route_ssl */
	/* where to */
	struct route_target *targets; /* none if it redirects */
	uint32_t n_targets;
	uint16_t redirect_status; /* 0: none */
	const char *redirect_to;  /* absolute, or a path; "{host}" "{path}" "{query}" are put in */
	bool rewrite;
	const char *rewrite_prefix; /* instead of path_prefix */
	const char *rewrite_host;   /* "": the client's */
	struct route_rule *request_rules, *response_rules;
	uint32_t n_request_rules, n_response_rules;
	/* limits */
	uint32_t request_timeout_ms;  /* from its head to the end of its answer; 0: none */
	uint32_t response_timeout_ms; /* until the answer begins; 0: the pool's */
	uint32_t idle_timeout_ms;     /* nothing either way, also of a tunnel; 0: the relay's */
	uint32_t retries;             /* attempts beside the first */
	uint32_t retry_on;            /* ROUTE_RETRY_* */
	struct route_rate rate;
	uint64_t rate_in, rate_out; /* bytes/s */
	uint64_t max_body;
	uint32_t max_in_flight;
	struct mapping_cidrs allow, deny; /* who may ask; deny wins */
	const char *account; /* whose requests of the month it takes (spend.h): its tenant's id; "": nobody counts */
	/* what is added */
	struct route_cors cors;
	struct route_gzip gzip;
	const char *mirror_pool; /* "": none */
	uint32_t mirror_percent;
	struct route_page *pages; /* instead of the relay's own error pages */
	uint32_t n_pages;
	uint8_t client_auth;   /* enum route_client_auth */
	const char *client_ca; /* PEM */
	bool access_log;
	struct conf_mem mem; /* private */
};

void route_conf_fini(struct route_conf *r);
void route_conf_encode(const struct route_conf *r, struct buf *b);
/* Whole body or nothing: 0, or -1 and *r zeroed. */
int route_conf_decode(struct route_conf *r, const void *body, size_t n) MUST_CHECK;

#endif
