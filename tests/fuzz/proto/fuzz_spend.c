/* spend and grant. */
#include "proto/spend.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_MESSAGE(name)                                        \
	static void fuzz_##name(const uint8_t *data, size_t size) \
	{                                                         \
		static struct msg_##name m;                       \
		struct buf b;                                     \
                                                                  \
		if (msg_##name##_decode(&m, data, size) != 0)     \
			return;                                   \
		buf_init(&b, PROTO_MSG_MAX);                      \
		msg_##name##_encode(&m, &b);                      \
		fuzz_check_same(&b, data, size);                  \
	}
FUZZ_MESSAGE(spend) /* msg_spend_decode */
FUZZ_MESSAGE(grant) /* msg_grant_decode */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_spend(data, size);
	fuzz_grant(data, size);
	return 0;
}
