/* join, renew, joined, refused, and the join token as text. */
#include "proto/join.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_MESSAGE(name)                                        \
	static void fuzz_##name(const uint8_t *data, size_t size) \
	{                                                         \
		struct msg_##name m;                              \
		struct buf b;                                     \
                                                                  \
		if (msg_##name##_decode(&m, data, size) != 0)     \
			return;                                   \
		buf_init(&b, PROTO_MSG_MAX);                      \
		msg_##name##_encode(&m, &b);                      \
		fuzz_check_same(&b, data, size);                  \
	}
FUZZ_MESSAGE(join)    /* msg_join_decode */
FUZZ_MESSAGE(renew)   /* msg_renew_decode */
FUZZ_MESSAGE(joined)  /* msg_joined_decode */
FUZZ_MESSAGE(refused) /* msg_refused_decode */

static void fuzz_token(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size), again[JOIN_TOKEN_MAX];
	struct join_token t;

	if (s != NULL && join_token_parse(&t, s) == 0) {
		FUZZ_CHECK(join_token_print(&t, again) == 0);
		FUZZ_CHECK(strcmp(s, again) == 0);
	}
	free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_join(data, size);
	fuzz_renew(data, size);
	fuzz_joined(data, size);
	fuzz_refused(data, size);
	fuzz_token(data, size);
	return 0;
}
