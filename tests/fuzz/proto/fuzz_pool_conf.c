/* The body of a pool, as it travels and as it lies in a relay's last good snapshot. */
#include "proto/msg.h"
#include "proto/pool_conf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool_conf conf;
	struct buf b;

	if (pool_conf_decode(&conf, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	pool_conf_encode(&conf, &b);
	fuzz_check_same(&b, data, size);
	pool_conf_fini(&conf);
	return 0;
}
