#include "relayd/http/trouble.h"

#define METER_NONE (-1)

static const struct trouble troubles[] = { [HTTP_TROUBLE_none] = { "", "", "", 0, METER_NONE },
#define X(w, s, m, t, x) \
	[HTTP_TROUBLE_##w] = { .word = #w, .told = (t), .exact = (x), .status = (s), .meter = (int)METER_##m },
	HTTP_TROUBLES(X)
#undef X
};

const struct trouble *trouble_of(enum http_trouble t)
{
	return &troubles[t];
}
