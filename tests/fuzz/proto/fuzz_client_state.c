/* The list of clients in a report. */
#include "common/base/cursor.h"
#include "proto/client_state.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_states s;
	struct cursor c;
	struct buf b;

	cursor_init(&c, data, size);
	client_states_get(&c, &s);
	if (cursor_done(&c) == 0) {
		buf_init(&b, PROTO_MSG_MAX);
		client_states_put(&b, &s);
		fuzz_check_same(&b, data, size);
	}
	client_states_fini(&s);
	return 0;
}
