/* The body of the keys of TLS tickets, as it travels and as it lies in a relay's last good snapshot. */
#include "proto/msg.h"
#include "proto/ticket_conf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ticket_conf c;
	struct buf b;

	if (ticket_conf_decode(&c, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	ticket_conf_encode(&c, &b);
	fuzz_check_same(&b, data, size);
	return 0;
}
