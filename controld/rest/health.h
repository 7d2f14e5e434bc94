/*
 * health - what the parts of controld say about themselves, asked once a second on a thread of its own: a part that hangs
 * is shown as hanging and never holds up the answer.
 *
 * Owner: the server. Thread: health_read() any.
 */
#ifndef PORTWAY_CONTROLD_REST_HEALTH_H
#define PORTWAY_CONTROLD_REST_HEALTH_H

#include "common/base/macros.h"
#include "controld/rest/server.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct health;

#define HEALTH_PROBES_MAX 16

enum health_status { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY };

int health_new(struct health **out, struct err *e) MUST_CHECK;
void health_free(struct health *h); /* waits for a running probe */
/* Before health_start(). */
int health_add(struct health *h, const struct health_probe *probe, struct err *e) MUST_CHECK;
/* Asks all once, then starts the thread. */
int health_start(struct health *h, struct err *e) MUST_CHECK;
enum health_status health_status(struct health *h);
/* The body of /health (new). */
json_t *health_read(struct health *h, int64_t now_ms, uint64_t uptime_s);

#endif
