/* Lines of HTTP/1.1 as fields of HTTP/2: each lies in the text, in lower case, without a line's end, and none is for one hop only. */
#include "relayd/http/h2_lines.h"
#include "tests/fuzz/fuzz.h"

static void check(const nghttp2_nv *nv, const uint8_t *from, size_t size)
{
	FUZZ_CHECK(nv->name >= from && nv->name + nv->namelen <= from + size);
	FUZZ_CHECK(nv->value >= from && nv->value + nv->valuelen <= from + size);
	for (size_t i = 0; i < nv->namelen; i++) {
		FUZZ_CHECK(nv->name[i] < 'A' || nv->name[i] > 'Z');
		FUZZ_CHECK(nv->name[i] != '\r' || i + 1 == nv->namelen || nv->name[i + 1] != '\n');
	}
	FUZZ_CHECK(nv->namelen != 10 || memcmp(nv->name, "connection", 10) != 0);
	for (size_t i = 0; i + 1 < nv->valuelen; i++)
		FUZZ_CHECK(nv->value[i] != '\r' || nv->value[i + 1] != '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	nghttp2_nv nv[8];
	size_t n;

	if (copy == NULL)
		return 0;
	if (size > 0)
		memcpy(copy, data, size);
	n = h2_lines_fields(nv, 8, copy, size);
	FUZZ_CHECK(n <= 8);
	for (size_t i = 0; i < n; i++)
		check(&nv[i], copy, size);
	free(copy);
	return 0;
}
