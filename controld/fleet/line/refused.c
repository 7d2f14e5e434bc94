#include "controld/fleet/line/refused.h"

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "proto/join.h"

#define RETRY_MS 3000

void refused_encode(const struct err *why, struct buf *b)
{
	struct msg_refused m = { .code = (uint16_t)why->code };

	if (err_retryable(why->code))
		m.retry_ms = (uint32_t)(RETRY_MS + rand_below(RETRY_MS));
	str_copy(m.reason, sizeof m.reason, why->msg);
	msg_refused_encode(&m, b);
}
