/*
 * template - texts with places for values: a small language, rendered as HTML or as plain text.
 *
 *	{{name}}          the value, escaped; nothing when there is none
 *	{{name|somebody}} the same, with what stands there when there is none
 *	{{url:name}}      a value that must be an http or https URL
 *	{{#name}}...{{/name}}  what stands between, if there is such a value
 *
 * A value can add nothing to the text but itself: in HTML it is escaped, so that it opens no tag and ends no attribute; in a plain
 * text it is one line. Names are letters, digits and '_'.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_MAIL_TEMPLATE_H
#define PORTWAY_CONTROLD_MAIL_TEMPLATE_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stddef.h>

struct buf;
struct err;

#define TEMPLATE_NAME_MAX  40
#define TEMPLATE_DEPTH_MAX 8
#define TEMPLATE_VALUE_MAX 8192 /* bytes of one value */

enum template_as { TEMPLATE_TEXT, TEMPLATE_HTML };

/* values: an object of texts, numbers and booleans. ERR_VALIDATION: a value that does not fit; the field is data.NAME. */
int template_render(
	struct buf *out, enum template_as as, const char *text, const json_t *values, struct err *e) MUST_CHECK;

#endif
