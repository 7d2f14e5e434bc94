/* The kinds there are. */
#include "controld/notify/format.h"

#include "common/base/str.h"

#include <stddef.h>

static const struct format *const all[] = { &format_generic };
const char *const format_names[] = { "generic", NULL };

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eq(name, all[i]->name))
			return all[i];
	return NULL;
}
