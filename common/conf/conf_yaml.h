/*
 * conf_yaml - a YAML file as a list of settings: nested maps become dotted keys. The only file that sees libyaml's parser.
 *
 * Private to conf/. Only maps of scalars are settings: lists, anchors and several documents are errors, each with its
 * line, and reading goes on after them; it ends at the first syntax error.
 */
#ifndef PORTWAY_CONF_CONF_YAML_H
#define PORTWAY_CONF_CONF_YAML_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err_list;

#define CONF_YAML_KEY_MAX   128           /* bytes of a dotted key, with NUL */
#define CONF_YAML_DEPTH_MAX 8             /* maps in maps */
#define CONF_YAML_FILE_MAX  (1024 * 1024) /* bytes */

/* value NULL: written without one ("key:", "~", "null", "{}"). */
typedef void (*conf_yaml_fn)(const char *key, const char *value, size_t line, void *arg);

/* name: the file's name for errors. 0, or -1 with more in *errs. */
int conf_yaml_read(
	const char *name, const uint8_t *text, size_t n, conf_yaml_fn fn, void *arg, struct err_list *errs) MUST_CHECK;

#endif
