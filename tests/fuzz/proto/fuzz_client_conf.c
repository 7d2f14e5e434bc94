/* The body of a client, as it travels and as it lies in a relay's last good snapshot. */
#include "proto/client_conf.h"
#include "proto/msg.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_conf c;
	struct buf b;

	if (client_conf_decode(&c, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	client_conf_encode(&c, &b);
	fuzz_check_same(&b, data, size);
	return 0;
}
