#include "relayd/site/site_tls.h"

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/crypto/tls_server.h"
#include "relayd/site/http_route.h"

#include <stdlib.h>
#include <string.h>

static bool is_for_tls(const struct http_route *r)
{
	return r->conf->enabled && r->conf->ssl != ROUTE_SSL_OFF;
}

/* The CAs of all routes behind each other: PEM is made for that. */
static int gather(struct site_tls *t, struct buf *cas, struct http_route *const *routes, uint32_t n)
{
	t->required = true;
	for (uint32_t i = 0; i < n; i++) {
		const struct route_conf *c = routes[i]->conf;

		if (!is_for_tls(routes[i]))
			continue;
		t->required &= c->client_auth == ROUTE_CLIENT_REQUIRED;
		if (c->client_auth == ROUTE_CLIENT_NONE)
			continue;
		buf_put(cas, c->client_ca, strlen(c->client_ca));
		buf_u8(cas, '\n');
	}
	return cas->failed ? -1 : 0;
}

int site_tls_new(struct site_tls **out, struct http_route *const *routes, uint32_t n)
{
	const struct http_route *first = NULL;
	struct site_tls *t;
	struct buf cas;
	int rc;

	*out = NULL;
	for (uint32_t i = 0; i < n && first == NULL; i++)
		first = is_for_tls(routes[i]) ? routes[i] : NULL;
	if (first == NULL)
		return 0;
	if ((t = calloc(1, sizeof *t)) == NULL)
		return -1;
	(void)str_copy(t->realm, sizeof t->realm, first->conf->tenant);
	buf_init(&cas, (size_t)n * (ROUTE_CA_MAX + 1) + 1);
	rc = gather(t, &cas, routes, n);
	if (rc == 0 && cas.len > 0)
		rc = tls_server_trust(&t->clients, buf_cstr(&cas), NULL);
	buf_free(&cas);
	if (rc != 0) {
		site_tls_free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void site_tls_free(struct site_tls *t)
{
	if (t == NULL)
		return;
	tls_server_trust_unref(t->clients);
	free(t);
}
