/* A ClientHello: the answer is the same for every longer beginning, and whichever way its records are cut. */
#include "relayd/vhost/client_hello.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void fuzz_same(enum opening_kind kind, const struct opening *want, const uint8_t *p, size_t n)
{
	struct opening o;

	FUZZ_CHECK(client_hello_read(&o, p, n) == kind);
	if (kind == OPENING_FOUND)
		FUZZ_CHECK(strcmp(o.host, want->host) == 0);
}

/* What is one record becomes two. */
static void fuzz_cut(enum opening_kind kind, const struct opening *o, const uint8_t *data, size_t size)
{
	size_t body = (size_t)data[3] << 8 | data[4], first = body / 2, second = body - first;
	uint8_t *cut;

	if (body < 2 || body + 5 > size)
		return;
	cut = malloc(size + 5);
	FUZZ_CHECK(cut != NULL);
	memcpy(cut, data, 5 + first);
	cut[3] = (uint8_t)(first >> 8);
	cut[4] = (uint8_t)first;
	memcpy(cut + 5 + first, data, 3);
	cut[5 + first + 3] = (uint8_t)(second >> 8);
	cut[5 + first + 4] = (uint8_t)second;
	memcpy(cut + 10 + first, data + 5 + first, size - 5 - first);
	fuzz_same(kind, o, cut, size + 5);
	free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct opening o, shorter;
	enum opening_kind kind = client_hello_read(&o, data, size);

	if (kind == OPENING_MORE) {
		FUZZ_CHECK(o.want > size);
		return 0;
	}
	FUZZ_CHECK(kind != OPENING_HTTP2);
	FUZZ_CHECK(kind != OPENING_FOUND || o.host[0] == '\0' || host_pattern_is_taken(o.host));
	if (kind != OPENING_FOUND && kind != OPENING_NO_HOST)
		return 0;
	fuzz_cut(kind, &o, data, size);
	for (size_t n = size; n-- > 0;) {
		enum opening_kind k = client_hello_read(&shorter, data, n);

		if (k == OPENING_MORE)
			FUZZ_CHECK(shorter.want <= size);
		else
			fuzz_same(kind, &o, data, n);
	}
	return 0;
}
