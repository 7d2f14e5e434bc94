#include "common/crypto/password.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <sodium.h>
#include <string.h>

/* OWASP's second recommended setting for argon2id. */
enum { PASSWORD_PASSES = 2, PASSWORD_MEMORY = 19 << 20 };

/* A hash of 32 random bytes that nobody kept, with the same cost. */
static const char password_dummy[] =
	"$argon2id$v=19$m=19456,t=2,p=1$pUBfkoyToWaNpLgRM/Zyjg$ooiaPG8gF7g25g59SK9bJQgOhauaA5P4WPs0nhUKXhI";

_Static_assert(PASSWORD_HASH_SIZE >= crypto_pwhash_STRBYTES, "a hash fits");

int password_hash(char dst[PASSWORD_HASH_SIZE], const char *password, struct err *e)
{
	size_t n = strlen(password);

	if (n > PASSWORD_MAX) {
		err_set(e, ERR_VALIDATION, "password", "password must have at most %d bytes", PASSWORD_MAX);
		return err_detail(e, "length", "***");
	}
	if (sodium_init() < 0 || crypto_pwhash_str(dst, password, n, PASSWORD_PASSES, PASSWORD_MEMORY) != 0)
		return err_set(e, ERR_NOMEM, NULL, "hash a password: out of memory");
	return 0;
}

bool password_verify(const char *hash, const char *password)
{
	char padded[PASSWORD_HASH_SIZE] = { 0 }; /* libsodium declares that it reads this many bytes */
	size_t n = strlen(password);

	return n <= PASSWORD_MAX && str_copy(padded, sizeof padded, hash) == 0 && sodium_init() >= 0 &&
	       crypto_pwhash_str_verify(padded, password, n) == 0;
}

void password_verify_dummy(const char *password)
{
	(void)password_verify(password_dummy, password);
}
