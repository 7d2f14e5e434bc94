/*
 * frame_check - what a relay and an agent say of the targets of mappings: CHECK asks for one to be watched, HEALTH is its word.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_TUNNEL_FRAME_CHECK_H
#define PORTWAY_TUNNEL_FRAME_CHECK_H

#include "common/base/macros.h"
#include "common/tunnel/frame.h"

#define FRAME_PATH_SIZE      128
#define FRAME_INTERVAL_MIN   1000 /* ms: a relay may not make an agent knock more often */
#define FRAME_TURNS_MAX      10
#define FRAME_TIMEOUT_MAX_MS 60000

enum frame_check_type { FRAME_CHECK_NONE, FRAME_CHECK_TCP, FRAME_CHECK_HTTP };

/* What is checked, and how. */
struct frame_check_spec {
	uint8_t type; /* enum frame_check_type; NONE: it is not wanted any more, and nothing else matters */
	char host[FRAME_HOST_SIZE];
	uint16_t port;
	uint32_t interval_ms, timeout_ms;
	uint8_t rise, fall; /* so many results in a row make it up, or down */
	char path[FRAME_PATH_SIZE];
	uint16_t expect; /* status; 0: 200 to 399 */
};

bool frame_check_same(const struct frame_check_spec *a, const struct frame_check_spec *b);

struct frame_check {
	char mapping[FRAME_ID_SIZE];
	struct frame_check_spec spec;
};
void frame_check_put(struct buf *b, const struct frame_check *c);
int frame_check_get(struct frame_check *out, const void *p, size_t n) MUST_CHECK;

struct frame_health {
	char mapping[FRAME_ID_SIZE];
	bool up;
	char reason[FRAME_REASON_SIZE]; /* why it is down; else "" */
};
void frame_health_put(struct buf *b, const struct frame_health *h);
int frame_health_get(struct frame_health *out, const void *p, size_t n) MUST_CHECK;

#endif
