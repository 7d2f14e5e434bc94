/* Refresh tokens and claims as strangers send them: a token that is taken prints to the same text. */
#include "controld/identity/session.h"
#include "controld/identity/token.h"
#include "tests/fuzz/fuzz.h"

/* The seeds are made with this one. */
static const uint8_t key[SHA256_SIZE] = { 1, 2, 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size), again[SESSION_TOKEN_SIZE], id[RAND_ID_SIZE], session[RAND_ID_SIZE];
	int64_t generation;
	struct token t;

	if (text == NULL)
		return 0;
	if (session_token_parse(text, key, id, &generation) == 0) {
		session_token_print(again, key, id, generation);
		FUZZ_CHECK(strcmp(again, text) == 0);
	}
	if (token_parse(&t, text, "portway", 1800000000, NULL) == 0) {
		FUZZ_CHECK(t.user_id[0] != '\0' && t.tenant_id[0] != '\0' && t.expires_s > 1800000000);
		if (token_session(t.jti, session) == 0)
			FUZZ_CHECK(strncmp(t.jti, session, strlen(session)) == 0);
	}
	free(text);
	return 0;
}
