#include "controld/balancer/lb_sticky.h"

#include "common/base/buf.h"
#include "common/base/rand.h"
#include "common/crypto/seal.h"
#include "controld/store/secrets.h"

#include <string.h>

#define NAME "lb-sticky"

static int read_secret(struct db *db, uint8_t out[POOL_SECRET], struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, SECRETS_MAX);
	rc = secrets_get(db, NAME, &b, e);
	if (rc == 0 && b.len != POOL_SECRET)
		rc = err_set(e, ERR_STORAGE, NULL, "the secret of sticky sessions has %zu bytes", b.len);
	if (rc == 0)
		memcpy(out, b.data, POOL_SECRET);
	if (b.data != NULL)
		seal_wipe(b.data, b.len);
	buf_free(&b);
	return rc;
}

int lb_sticky_bootstrap(struct db *tx, struct err *e)
{
	uint8_t secret[POOL_SECRET];
	struct err why;
	int rc = read_secret(tx, secret, &why);

	if (rc != 0 && why.code == ERR_NOT_FOUND) {
		rand_bytes(secret, sizeof secret);
		rc = secrets_put(tx, NAME, secret, sizeof secret, e);
	} else if (rc != 0 && e != NULL) {
		*e = why;
	}
	seal_wipe(secret, sizeof secret);
	return rc;
}

int lb_sticky_secret(struct lb_sticky *s, struct db *db, const char *pool_id, uint8_t out[POOL_SECRET], struct err *e)
{
	if (!s->there && read_secret(db, s->of_all, e) != 0)
		return -1;
	s->there = true;
	seal_hmac_sha256(s->of_all, sizeof s->of_all, pool_id, strlen(pool_id), out);
	return 0;
}

void lb_sticky_wipe(struct lb_sticky *s)
{
	seal_wipe(s->of_all, sizeof s->of_all);
	s->there = false;
}
