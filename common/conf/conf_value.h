/*
 * conf_value - the value of one setting: from text, to text, compared, released; and the words for what it may be.
 *
 * Private to conf/. `target` is the program's struct, the row says where in it the value lies.
 */
#ifndef PORTWAY_CONF_CONF_VALUE_H
#define PORTWAY_CONF_CONF_VALUE_H

#include "common/base/macros.h"
#include "common/conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

#define CONF_VALUE_TEXT 64  /* a number, size, duration or choice as text, with NUL */
#define CONF_VALUE_RULE 256 /* conf_value_rule(), with NUL */

struct err_list;

/* Sets the value from text. 0, or -1 with one more error in *errs that begins with `source`; the old value stays. */
int conf_value_set(
	const struct conf_key *k, void *target, const char *text, const char *source, struct err_list *errs) MUST_CHECK;
/* Zero, false, the first choice, "": what is there before the first source. */
int conf_value_clear(const struct conf_key *k, void *target, struct err_list *errs) MUST_CHECK;
void conf_value_free(const struct conf_key *k, void *target);
bool conf_value_equal(const struct conf_key *k, const void *a, const void *b);
bool conf_value_is_text(const struct conf_key *k); /* kept as a string */
/* As it would be written in the file; scratch is used for what is not kept as a string. */
const char *conf_value_text(const struct conf_key *k, const void *target, char scratch[CONF_VALUE_TEXT]);
/* "a number between 1 and 65535", "one of debug, info": completes "is not". */
void conf_value_rule(const struct conf_key *k, char dst[CONF_VALUE_RULE]);

#endif
