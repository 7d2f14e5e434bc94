#include "controld/rest/peer.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

int peer_proxies_parse(struct peer_proxies *p, const char *list, struct err *e)
{
	p->n = 0;
	while (list != NULL && *(list += strspn(list, " ,")) != '\0') {
		const size_t len = strcspn(list, " ,");
		char text[CIDR_STRLEN];

		if (p->n == PEER_PROXIES_MAX)
			return err_set(
				e, ERR_VALIDATION, "trusted_proxies", "more than %d trusted proxies", PEER_PROXIES_MAX);
		if (str_fmt(text, sizeof text, "%.*s", (int)len, list) != 0 || cidr_parse(&p->cidrs[p->n], text) != 0) {
			err_set(e, ERR_VALIDATION, "trusted_proxies", "trusted proxy \"%.*s\" is not a CIDR", (int)len,
				list);
			return -1;
		}
		p->n++;
		list += len;
	}
	return 0;
}

/* From the end: each proxy has appended whom it saw, so the right part is the one we know most about. False: what cannot be
 * parsed is in the way, and whatever stands before it is anybody's word. */
static bool walk(const struct peer_proxies *p, struct addr *client, const char *forwarded)
{
	size_t n = strlen(forwarded);

	while (n > 0 && cidr_match_any(p->cidrs, p->n, client)) {
		size_t start = n;
		struct addr next;
		char text[ADDR_STRLEN];

		while (start > 0 && forwarded[start - 1] != ',')
			start--;
		if (str_fmt(text, sizeof text, "%.*s", (int)(n - start), forwarded + start) != 0)
			return false;
		text[strcspn(text + strspn(text, " "), " ") + strspn(text, " ")] = '\0';
		if (addr_parse_ip(&next, text + strspn(text, " "), 0) != 0)
			return false;
		*client = next;
		n = start > 0 ? start - 1 : 0;
	}
	return true;
}

struct addr peer_client(const struct peer_proxies *p, const struct addr *connected, const struct evkeyvalq *headers)
{
	struct addr client = *connected;
	const struct evkeyval *h;

	if (p->n == 0)
		return client;
	TAILQ_FOREACH_REVERSE(h, headers, evkeyvalq, next)
	{
		if (strcasecmp(h->key, "X-Forwarded-For") == 0 && !walk(p, &client, h->value))
			break;
	}
	return client;
}
