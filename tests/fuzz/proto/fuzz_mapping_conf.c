/* The body of a mapping, as it travels and as it lies in a relay's last good snapshot. */
#include "proto/mapping_conf.h"
#include "proto/msg.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mapping_conf m;
	struct buf b;

	if (mapping_conf_decode(&m, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	mapping_conf_encode(&m, &b);
	fuzz_check_same(&b, data, size);
	mapping_conf_fini(&m);
	return 0;
}
