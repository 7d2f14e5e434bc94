#include "relayd/site/tls_clients.h"

#include "common/base/err.h"
#include "common/crypto/seal.h"
#include "common/crypto/tls.h"
#include "proto/pool_conf.h"

#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX 256 /* different ones that are kept; beyond that all are made anew when they are needed */

/* What a context is made from, in few bytes. */
struct need {
	uint8_t ca[SHA256_SIZE];
	uint8_t verify, h2;
};

struct tls_client {
	struct need need;
	struct tls_ctx *ctx;
};

void tls_clients_init(struct tls_clients *t)
{
	map_init(&t->by_need);
}

static void forget_all(struct tls_clients *t)
{
	struct tls_client *c;
	size_t it = 0;

	while ((c = map_next(&t->by_need, &it)) != NULL) {
		tls_ctx_unref(c->ctx);
		free(c);
	}
	map_free(&t->by_need);
	map_init(&t->by_need);
}

void tls_clients_fini(struct tls_clients *t)
{
	forget_all(t);
	map_free(&t->by_need);
}

static int make(struct tls_client *c, const struct pool_conf *pool, struct err *e)
{
	static const char h2[] = "\x02h2", h1[] = "\x08http/1.1";
	const struct tls_conf conf = {
		.min_version = 12,
		.ca_pem = pool->tls_verify && pool->ca[0] != '\0' ? pool->ca : NULL,
		.system_cas = pool->tls_verify && pool->ca[0] == '\0',
		.alpn = c->need.h2 ? h2 : h1,
		.alpn_n = c->need.h2 ? sizeof h2 - 1 : sizeof h1 - 1,
	};

	return tls_ctx_new(&c->ctx, &conf, e);
}

int tls_clients_get(struct tls_clients *t, const struct pool_conf *pool, struct tls_ctx **out, struct err *e)
{
	struct need need = { .verify = pool->tls_verify, .h2 = pool->protocol == POOL_H2 };
	struct tls_client *c;

	*out = NULL;
	if (!pool->tls)
		return 0;
	seal_sha256(pool->ca, strlen(pool->ca), need.ca);
	c = map_get(&t->by_need, &need, sizeof need);
	if (c == NULL) {
		if (map_count(&t->by_need) >= CLIENTS_MAX)
			forget_all(t);
		if ((c = calloc(1, sizeof *c)) == NULL)
			return err_set(e, ERR_NOMEM, NULL, "TLS to backends: out of memory");
		c->need = need;
		if (make(c, pool, e) != 0 || map_put(&t->by_need, &c->need, sizeof c->need, c, NULL) != 0) {
			tls_ctx_unref(c->ctx);
			free(c);
			return -1;
		}
	}
	*out = tls_ctx_ref(c->ctx);
	return 0;
}
