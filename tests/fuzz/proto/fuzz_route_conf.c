/* The body of a route, as it travels and as it lies in a relay's last good snapshot. */
#include "proto/msg.h"
#include "proto/route_conf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct route_conf conf;
	struct buf b;

	if (route_conf_decode(&conf, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	route_conf_encode(&conf, &b);
	fuzz_check_same(&b, data, size);
	route_conf_fini(&conf);
	return 0;
}
