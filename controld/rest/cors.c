#include "controld/rest/cors.h"

#include "controld/rest/route.h"

#include <string.h>

#define CORS_METHODS "GET, POST, PUT, DELETE, OPTIONS, PATCH"
#define CORS_HEADERS "Authorization, Content-Type, X-Request-ID, X-API-Key, Idempotency-Key, If-Match"
#define CORS_EXPOSED                                                                                               \
	"X-Request-ID, ETag, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, " \
	"X-RateLimit-Window"

bool cors_allows(const char *list, const char *origin)
{
	const size_t n = strlen(origin);

	while (list != NULL && *list != '\0') {
		size_t len;

		list += strspn(list, " ,");
		len = strcspn(list, " ,");
		if ((len == 1 && *list == '*') || (len == n && n > 0 && memcmp(list, origin, n) == 0))
			return true;
		list += len;
	}
	return false;
}

void cors_headers(struct reply *rp, const char *list, const char *origin, bool preflight)
{
	if (origin == NULL || !cors_allows(list, origin))
		return;
	reply_header(rp, "Access-Control-Allow-Origin", origin);
	reply_header(rp, "Vary", "Origin");
	if (!preflight) {
		reply_header(rp, "Access-Control-Expose-Headers", CORS_EXPOSED);
		return;
	}
	reply_header(rp, "Access-Control-Allow-Methods", CORS_METHODS);
	reply_header(rp, "Access-Control-Allow-Headers", CORS_HEADERS);
	reply_header(rp, "Access-Control-Max-Age", "86400");
}
