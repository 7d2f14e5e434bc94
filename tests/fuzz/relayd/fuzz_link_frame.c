/* What the link process says: frames lie inside the input; credentials that are read are written back the same. */
#include "common/base/buf.h"
#include "relayd/link/link_frame.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void read_back(const struct link_frame *f)
{
	static struct link_frame_open o, again;
	struct link_frame g;
	struct buf b;

	if (f->kind != LINK_FRAME_OPEN || link_frame_open_get(&o, f->p, f->n) != 0)
		return;
	buf_init(&b, LINK_FRAME_MAX);
	link_frame_open_put(&b, &o);
	FUZZ_CHECK(link_frame_get(&g, b.data, b.len) == (ssize_t)b.len);
	FUZZ_CHECK(link_frame_open_get(&again, g.p, g.n) == 0);
	FUZZ_CHECK(memcmp(&o, &again, sizeof o) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;
	struct link_frame f;
	ssize_t used;

	while ((used = link_frame_get(&f, data + at, size - at)) > 0) {
		FUZZ_CHECK(f.p >= data + at && f.p + f.n <= data + size);
		FUZZ_CHECK((size_t)used == LINK_FRAME_HEAD + f.n);
		read_back(&f);
		at += (size_t)used;
	}
	return 0;
}
