/* A configuration from disk or from a predecessor: what is read is sorted, and written back it is the same bytes. */
#include "common/base/buf.h"
#include "relayd/conf/last_good.h"
#include "relayd/conf/snapshot.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct object *o, *last = NULL;
	struct snapshot_walk w = { 0 };
	struct snapshot *s = NULL;
	int64_t confirmed_ms;
	struct buf b;

	if (last_good_decode(data, size, &s, &confirmed_ms, NULL) != 0) {
		FUZZ_CHECK(s == NULL);
		return 0;
	}
	while ((o = snapshot_next(s, &w)) != NULL) {
		FUZZ_CHECK(last == NULL || strcmp(last->id, o->id) < 0);
		FUZZ_CHECK(snapshot_find(s, o->id) == o);
		FUZZ_CHECK((o->kind == OBJECT_FAULTY) == (o->fault != NULL));
		last = o;
	}
	buf_init(&b, LAST_GOOD_MAX);
	last_good_encode(&b, s, confirmed_ms);
	FUZZ_CHECK(b.len == size && memcmp(b.data, data, size) == 0);
	buf_free(&b);
	snapshot_unref(s);
	return 0;
}
