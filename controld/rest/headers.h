/*
 * headers - header lists of answers, beyond what evhttp offers.
 */
#ifndef PORTWAY_CONTROLD_REST_HEADERS_H
#define PORTWAY_CONTROLD_REST_HEADERS_H

#include "common/base/macros.h"

#include <event2/keyvalq_struct.h>
#include <stdbool.h>

void headers_init(struct evkeyvalq *list);
/* All of src to the end of dst. */
void headers_move(struct evkeyvalq *dst, struct evkeyvalq *src);
/*
 * Appends one entry whose value may hold further header lines after CR LF. Ten standing headers so cost one entry
 * (three allocations and one formatting) instead of ten; and evhttp does not look into them.
 * For our own constant text only: evhttp_add_header(), which refuses line ends, is the one for everything else.
 */
int headers_add_block(struct evkeyvalq *list, const char *name, const char *value) MUST_CHECK;
/* The security headers of every answer: lines without a line end behind the last. */
const char *headers_security(bool tls);
/* Whether a comma-separated header value has this token, whatever its case. value may be NULL. */
bool headers_has_token(const char *value, const char *token);

#endif
