#include "controld/rest/headers.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#define HEADERS_SECURITY                                  \
	"X-Content-Type-Options: nosniff\r\n"             \
	"X-Frame-Options: DENY\r\n"                       \
	"X-XSS-Protection: 1; mode=block\r\n"             \
	"Content-Security-Policy: default-src 'self'\r\n" \
	"Referrer-Policy: no-referrer"
#define HEADERS_HSTS "\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains"

void headers_init(struct evkeyvalq *list)
{
	TAILQ_INIT(list);
}

void headers_move(struct evkeyvalq *dst, struct evkeyvalq *src)
{
	TAILQ_CONCAT(dst, src, next);
}

int headers_add_block(struct evkeyvalq *list, const char *name, const char *value)
{
	struct evkeyval *h = calloc(1, sizeof *h);

	if (h == NULL || (h->key = strdup(name)) == NULL || (h->value = strdup(value)) == NULL) {
		if (h != NULL)
			free(h->key);
		free(h);
		return -1;
	}
	TAILQ_INSERT_TAIL(list, h, next);
	return 0;
}

const char *headers_security(bool tls)
{
	return tls ? HEADERS_SECURITY HEADERS_HSTS : HEADERS_SECURITY;
}

bool headers_has_token(const char *value, const char *token)
{
	const size_t n = strlen(token);

	while (value != NULL && *value != '\0') {
		value += strspn(value, " \t,");
		if (strncasecmp(value, token, n) == 0 && strchr(" \t,;", value[n]) != NULL)
			return true;
		value += strcspn(value, ",");
	}
	return false;
}
