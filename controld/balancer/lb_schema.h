/*
 * lb_schema - how rows of the schemas of pools and routes are written: a kind of member, its name, its bounds, its help.
 *
 * Owner: none; only the files that hold such tables include it.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_SCHEMA_H
#define PORTWAY_CONTROLD_BALANCER_LB_SCHEMA_H

#include "controld/rest/schema.h"

#define ANSWER SCHEMA_IGNORED
#define NULLED SCHEMA_NULLABLE
#define TEXT(n, f, most, h)                                                          \
	{                                                                            \
		.name = n, .type = SCHEMA_STRING, .flags = f, .max = most, .help = h \
	}
#define PICK(n, c, h)                                                                      \
	{                                                                                  \
		.name = n, .type = SCHEMA_STRING, .flags = NULLED, .choices = c, .help = h \
	}
#define WHOLE(n, lo, hi, h)                                                                     \
	{                                                                                       \
		.name = n, .type = SCHEMA_INT, .flags = NULLED, .min = lo, .max = hi, .help = h \
	}
#define FLAG(n, h)                                                         \
	{                                                                  \
		.name = n, .type = SCHEMA_BOOL, .flags = NULLED, .help = h \
	}
#define SPAN(n, h)                                                                                             \
	{                                                                                                      \
		.name = n, .type = SCHEMA_STRING, .flags = NULLED, .format = SCHEMA_FORMAT_DURATION, .help = h \
	}
#define TIME(n, h)                                                                                         \
	{                                                                                                  \
		.name = n, .type = SCHEMA_STRING, .flags = ANSWER, .format = SCHEMA_FORMAT_TIME, .help = h \
	}
#define PART(n, s, h)                                                                  \
	{                                                                              \
		.name = n, .type = SCHEMA_OBJECT, .flags = NULLED, .sub = s, .help = h \
	}

#endif
