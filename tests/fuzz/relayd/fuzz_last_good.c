/* A configuration from disk or from a predecessor: what is read is sorted, and written back it is the same bytes. */
#include "common/base/buf.h"
#include "relayd/conf/last_good.h"
#include "relayd/conf/snapshot.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot *s = NULL;
	int64_t confirmed_ms;
	struct buf b;

	if (last_good_decode(data, size, &s, &confirmed_ms, NULL) != 0) {
		FUZZ_CHECK(s == NULL);
		return 0;
	}
	for (size_t i = 0; i < s->n; i++) {
		FUZZ_CHECK(i == 0 || strcmp(s->objects[i - 1]->id, s->objects[i]->id) < 0);
		FUZZ_CHECK(snapshot_find(s, s->objects[i]->id) == s->objects[i]);
		FUZZ_CHECK((s->objects[i]->kind == OBJECT_FAULTY) == (s->objects[i]->fault != NULL));
	}
	buf_init(&b, LAST_GOOD_MAX);
	last_good_encode(&b, s, confirmed_ms);
	FUZZ_CHECK(b.len == size && memcmp(b.data, data, size) == 0);
	buf_free(&b);
	snapshot_unref(s);
	return 0;
}
