/*
 * health_conf - how the target of a mapping is checked: a part of the mapping's body.
 */
#ifndef PORTWAY_PROTO_HEALTH_CONF_H
#define PORTWAY_PROTO_HEALTH_CONF_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct cursor;

enum health_type {
	HEALTH_NONE = 0,
	HEALTH_TCP = 1,  /* it accepts a connection */
	HEALTH_HTTP = 2, /* it answers a GET */
};

#define HEALTH_PATH_SIZE       128
#define HEALTH_INTERVAL_MIN_MS 1000
#define HEALTH_INTERVAL_MAX_MS 3600000
#define HEALTH_TIMEOUT_MIN_MS  100
#define HEALTH_TIMEOUT_MAX_MS  60000
#define HEALTH_TURNS_MAX       10

struct health_conf {
	uint8_t type; /* enum health_type; with HEALTH_NONE nothing else matters */
	uint32_t interval_ms, timeout_ms;
	uint32_t rise, fall;         /* so many results in a row make it up, or down */
	char path[HEALTH_PATH_SIZE]; /* of HTTP: begins with '/' */
	uint32_t expect;             /* status of HTTP; 0: 200 to 399 */
};

/* A path as it stands in a request line: no blank, no control character. */
bool health_path_ok(const char *path);
void health_conf_put(struct buf *b, const struct health_conf *h);
void health_conf_get(struct cursor *c, struct health_conf *h); /* fails the cursor for what is out of its range */

#endif
