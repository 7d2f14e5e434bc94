#include "common/net/verdict.h"

bool verdict_hear(struct verdict *v, bool good, uint32_t rise, uint32_t fall)
{
	const uint8_t says = good ? VERDICT_UP : VERDICT_DOWN;

	if (says == v->is) {
		v->turns = 0;
		return false;
	}
	if (v->is != VERDICT_UNKNOWN && ++v->turns < (good ? rise : fall))
		return false;
	v->is = says;
	v->turns = 0;
	return true;
}
