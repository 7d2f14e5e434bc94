#include "controld/device_login/token_seal.h"

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/device_login/account_service.h"
#include "controld/store/db.h"
#include "controld/store/secrets.h"

#include <string.h>

int token_seal(struct db *tx, struct buf *b, const char *what, const char *id, const char *token, struct err *e)
{
	char context[64];

	(void)str_fmt(context, sizeof context, "%s%s", what, id);
	buf_init(b, SERVICE_TOKEN_MAX + SECRETS_OVERHEAD);
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): an array of a struct, which the analyzer takes for a pointer */
	return secrets_seal(tx, context, token, strlen(token), b, e);
}

int token_unseal(struct db *db, struct query *q, int col, const char *what, const char *id, char *dst, struct err *e)
{
	char context[64];
	struct buf plain;
	size_t n;
	const void *p = query_blob(q, col, &n);
	int rc;

	(void)str_fmt(context, sizeof context, "%s%s", what, id);
	buf_init(&plain, SERVICE_TOKEN_MAX + 1);
	if ((rc = secrets_unseal(db, context, p, n, &plain, e)) == 0)
		(void)str_copy(dst, SERVICE_TOKEN_MAX + 1, buf_cstr(&plain));
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}
