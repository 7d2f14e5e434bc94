/*
 * access_log - one line per answered request.
 */
#ifndef PORTWAY_CONTROLD_REST_ACCESS_LOG_H
#define PORTWAY_CONTROLD_REST_ACCESS_LOG_H

#include <stdint.h>

struct call;

/* As conf.access_log says: all, or those with status >= 400 (5xx as warnings). The query is not logged: it may hold an
 * api_key. */
void access_log_write(const struct call *c, uint64_t duration_ns);

#endif
