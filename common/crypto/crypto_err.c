#include "common/crypto/crypto_err.h"

#include <openssl/err.h>

int crypto_err(struct err *e, enum err_code code, const char *what)
{
	unsigned long n = ERR_peek_error();
	const char *reason = n != 0 ? ERR_reason_error_string(n) : NULL;

	ERR_clear_error();
	return err_set(e, code, NULL, "%s: %s", what, reason != NULL ? reason : "failed");
}
