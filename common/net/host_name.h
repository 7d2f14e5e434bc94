/*
 * host_name - names of virtual hosts as they are compared: RFC 1123 labels in lower case, without the root's dot.
 *
 * A pattern is a name, or "*." and a name: it stands for every name below that one, however many labels deep; the name
 * itself is not meant. Names of other scripts are written as A-labels ("xn--..."), as they are on the wire.
 *
 * Pure.
 */
#ifndef PORTWAY_NET_HOST_NAME_H
#define PORTWAY_NET_HOST_NAME_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>

#define HOST_NAME_SIZE (253 + 1)
#define HOST_LABEL_MAX 63

/* n bytes of foreign origin. -1: no host name (an IP address is none); dst is "" then. */
int host_name_take(char dst[HOST_NAME_SIZE], const char *s, size_t n) MUST_CHECK;
/* The same for a pattern. */
int host_pattern_take(char dst[HOST_NAME_SIZE], const char *s, size_t n) MUST_CHECK;
/* Written as host_pattern_take() writes it. */
bool host_pattern_is_taken(const char *s);
static inline bool host_pattern_is_wild(const char *pattern)
{
	return pattern[0] == '*';
}
/* The name or pattern lies below the domain. */
bool host_name_is_below(const char *name, const char *domain);

#endif
