/*
 * http_setup - from the operator's settings to what the HTTP engine works by.
 *
 * Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_HTTP_SETUP_H
#define PORTWAY_RELAYD_HTTP_SETUP_H

#include "common/base/macros.h"
#include "relayd/http/http_conf.h"

struct settings;

/* Texts are borrowed of the settings; http_setup_fini() releases the rest. 0, or -1: out of memory. */
int http_setup_init(struct http_conf *c, const struct settings *s) MUST_CHECK;
void http_setup_fini(struct http_conf *c); /* also of a zeroed one */
/* Ranges by comma, "" for none. -1: one of them is none, or no memory. */
int http_setup_ranges(struct mapping_cidrs *out, const char *list) MUST_CHECK;

#endif
