#include "relayd/site/site_env.h"

/* FNV-1a: who is hashed is configured by people, so nobody can make collisions that matter. */
uint64_t site_hash(const void *p, size_t n)
{
	const uint8_t *bytes = p;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}
