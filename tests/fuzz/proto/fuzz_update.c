/* update, with its asks and entries. */
#include "proto/update.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct update_entry entry;
	struct msg_update m;
	struct cursor it;
	size_t count_at;
	uint32_t n = 0;
	struct buf b;

	if (msg_update_decode(&m, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	msg_update_begin(&b, &m, &count_at);
	for (it = m.entries; msg_update_next(&it, &entry); n++) {
		if (entry.gone)
			msg_update_gone(&b, entry.kind, entry.id, entry.seq);
		else
			msg_update_put(&b, entry.kind, entry.id, entry.seq, entry.body, entry.body_n);
	}
	FUZZ_CHECK(n == m.n_entries && cursor_done(&it) == 0);
	msg_update_end(&b, count_at, n);
	fuzz_check_same(&b, data, size);
	return 0;
}
