/* JSON as it is, to a program of the user's. */
#include "controld/notify/format.h"

#include <stddef.h>

static enum verdict judge(int status)
{
	if (status >= 200 && status < 300)
		return VERDICT_DELIVERED;
	switch (status) {
	case 400: /* these speak of the body, which is the same next time */
	case 413:
	case 415:
	case 422:
		return VERDICT_REFUSED;
	case 410:
		return VERDICT_DEAD;
	default:
		return VERDICT_AGAIN;
	}
}

const struct format format_generic = { "generic", NULL, judge };
