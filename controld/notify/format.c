/* The kinds there are. */
#include "controld/notify/format.h"

#include "common/base/str.h"

/* The first one is that of URLs that are of none. */
static const struct format *const all[] = { &format_generic, &format_discord };
const char *const format_names[] = { "generic", "discord", NULL };

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eq(name, all[i]->name))
			return all[i];
	return NULL;
}

const struct format *format_of_url(const char *url)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->is_url != NULL && all[i]->is_url(url))
			return all[i];
	return all[0];
}
