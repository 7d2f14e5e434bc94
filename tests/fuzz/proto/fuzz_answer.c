/* answer with its connections, and the acknowledgement. */
#include "proto/answer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_answer m;
	struct buf b;

	buf_init(&b, PROTO_MSG_MAX);
	if (msg_answer_decode(&m, data, size) == 0) {
		msg_answer_encode(&m, &b);
		fuzz_check_same(&b, data, size);
		msg_answer_fini(&m);
	} else if (msg_answer_ack_decode(data, size) == 0) {
		msg_answer_ack_encode(&b);
		fuzz_check_same(&b, data, size);
	}
	return 0;
}
