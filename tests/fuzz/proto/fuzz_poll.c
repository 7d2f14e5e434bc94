/* poll, with the node_state inside. */
#include "proto/poll.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_poll m;
	struct buf b;

	if (msg_poll_decode(&m, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	fuzz_check_same(&b, data, size);
	msg_poll_fini(&m);
	return 0;
}
