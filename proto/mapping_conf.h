/*
 * mapping_conf - one tunnel mapping as a relay runs it: the body of an object of kind OBJECT_MAPPING.
 *
 * Immutable once decoded. All limits: 0 means none. Strings are inside; the arrays are malloc'ed by the decoder and released by mapping_conf_fini().
 *
 * A mapping holds ports (tcp, udp) or host names (http, tls), which clients name on ports that all such mappings of a relay
 * share: in the Host field of their request, or in the server name of their ClientHello (SNI).
 */
#ifndef PORTWAY_PROTO_MAPPING_CONF_H
#define PORTWAY_PROTO_MAPPING_CONF_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "common/net/host_name.h"
#include "proto/health_conf.h"
#include "proto/mapping_cidrs.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum mapping_protocol { MAPPING_TCP = 1, MAPPING_UDP = 2, MAPPING_HTTP = 3, MAPPING_TLS = 4, MAPPING_SOCKS5 = 5 };
enum mapping_on_delete { MAPPING_KEEP = 0, MAPPING_DRAIN = 1, MAPPING_CUT = 2 };
enum mapping_proxy { MAPPING_PROXY_NONE = 0, MAPPING_PROXY_V1 = 1, MAPPING_PROXY_V2 = 2 };
enum mapping_transport {
	MAPPING_TRANSPORT_AUTO = 0,
	MAPPING_TRANSPORT_MUX = 1,       /* streams of shared links */
	MAPPING_TRANSPORT_DEDICATED = 2, /* a link for each connection */
};
enum mapping_compress { MAPPING_COMPRESS_NONE = 0, MAPPING_COMPRESS_ZSTD = 1 };

#define MAPPING_HOST_SIZE 256
#define MAPPING_PORTS_MAX 1000 /* ports of one range */
#define MAPPING_HOSTS_MAX 16   /* host names of one mapping */

#define MAPPING_SOCKS_USER_SIZE  64
#define MAPPING_SOCKS_ALLOW_SIZE 512
#define MAPPING_SOCKS_SALT       16
#define MAPPING_SOCKS_PROOF      32

struct mapping_hosts {
	char (*items)[HOST_NAME_SIZE]; /* patterns (common/net/host_name.h) */
	uint32_t n;
};

struct mapping_conf {
	uint8_t protocol;                    /* enum mapping_protocol */
	uint8_t on_delete;                   /* enum mapping_on_delete */
	uint8_t proxy_out;                   /* enum mapping_proxy: header to the target */
	bool proxy_out_every;                /* UDP: on every datagram, not only a session's first */
	bool proxy_in;                       /* a PROXY header is expected from sources in proxy_trusted */
	bool enabled;                        /* false: suspended; listeners closed, connections cut */
	bool dial_any;                       /* may dial special addresses (loopback, private, ...) */
	bool hot;                            /* SO_REUSEPORT group over the workers */
	char bind[ADDR_STRLEN];              /* IP literal; "" = every IPv4 and IPv6 address, or the agent's choice */
	uint16_t port_first, port_last;      /* 0 with host names */
	char target_host[MAPPING_HOST_SIZE]; /* IP literal or name, resolved by who dials */
	uint16_t target_port;                /* of port_first; a range counts up with it */
	int64_t expires_ms;                  /* wall clock; 0: never. The relay enforces it alone */
	uint64_t rate_in, rate_out;          /* bytes/s of the whole mapping, from clients / to clients */
	uint32_t max_connections;            /* TCP connections or UDP sessions at once */
	uint32_t max_per_source;             /* of these from one source address */
	uint32_t rate_per_source;            /* new connections per second from one source address */
	uint32_t connect_timeout_ms;
	uint32_t idle_timeout_ms;       /* TCP: no byte either way; UDP: session */
	uint32_t half_close_timeout_ms; /* TCP: one side shut down, no byte since */
	uint32_t keepalive_s;           /* SO_KEEPALIVE probe interval; 0: off */
	uint32_t drain_ms;              /* MAPPING_DRAIN: how long old connections may go on */
	uint32_t udp_amplification;     /* bytes answered per byte received; 0: no limit */
	struct mapping_cidrs allow;     /* empty: everyone */
	struct mapping_cidrs deny;      /* wins over allow */
	struct mapping_cidrs proxy_trusted;
	struct mapping_cidrs dial_allow; /* special ranges granted to the tenant */
	/*
	 * The client whose agent dials target_host; "": the relay dials by itself. dial_any and dial_allow are then
	 * without a meaning: the agent has its own list of what may be dialled.
	 */
	char target_client[PROTO_ID_SIZE];
	uint8_t transport;         /* enum mapping_transport; with a target_client only */
	uint8_t compress;          /* enum mapping_compress; with a target_client only */
	struct health_conf health; /* by each agent, of target_port; TCP with a target_client only */
	struct mapping_hosts hosts;
	char account[PROTO_ID_SIZE]; /* whose quota its bytes are taken from (spend.h); "": none */
	/*
	 * The client on whose own machine the ports are, as its agent listens there; "": they are the relay's. It may
	 * open streams of this mapping, and nobody else may.
	 */
	char source_client[PROTO_ID_SIZE];
	/* MAPPING_SOCKS5: target_host is "" and target_port 0, as whoever comes in says where to. */
	char socks_user[MAPPING_SOCKS_USER_SIZE];   /* "": nobody is asked who he is */
	char socks_allow[MAPPING_SOCKS_ALLOW_SIZE]; /* rules of common/net/allow.h: what may be reached */
	uint8_t socks_salt[MAPPING_SOCKS_SALT], socks_proof[MAPPING_SOCKS_PROOF]; /* of the password */
};

/* Told apart by host name, not by port. */
static inline bool mapping_conf_has_hosts(const struct mapping_conf *m)
{
	return m->protocol == MAPPING_HTTP || m->protocol == MAPPING_TLS;
}
bool mapping_hosts_equal(const struct mapping_hosts *a, const struct mapping_hosts *b);

void mapping_conf_fini(struct mapping_conf *m);
void mapping_conf_encode(const struct mapping_conf *m, struct buf *b);
/* Whole body or nothing: 0, or -1 and *m zeroed. Unknown enum values and inverted ranges are refused. */
int mapping_conf_decode(struct mapping_conf *m, const void *p, size_t n) MUST_CHECK;

#endif
