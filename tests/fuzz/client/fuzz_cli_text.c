/* Names that others chose, on a terminal: what comes out is UTF-8 without a control character, and clean text stays. */
#include "client/out/cell.h"
#include "client/out/print.h"
#include "client/out/text.h"
#include "common/base/str.h"
#include "tests/fuzz/fuzz.h"

static void check_clean(const struct buf *b)
{
	const char *text = (const char *)b->data;

	FUZZ_CHECK(!b->failed && (b->len == 0 || str_is_utf8(text, b->len)));
	for (size_t i = 0; i < b->len; i++) {
		FUZZ_CHECK(b->data[i] >= 0x20 && b->data[i] != 0x7f);
		FUZZ_CHECK(b->data[i] != 0xc2 || b->data[i + 1] >= 0xa0); /* no C1 */
	}
}

/* An answer of somebody who claims to be controld. */
static void fuzz_answer(const uint8_t *data, size_t size)
{
	json_t *v = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);

	for (int kind = CELL_TEXT; v != NULL && kind <= CELL_TARGET; kind++) {
		const struct column c = { "X", kind % 2 == 0 ? "a.b" : NULL, (enum cell_kind)kind };
		struct buf b;

		buf_init(&b, 1u << 24);
		(void)cell_put(&b, &c, v, 0);
		check_clean(&b);
		buf_free(&b);
	}
	if (v != NULL) {
		FILE *out = fopen("/dev/null", "w");

		FUZZ_CHECK(out != NULL);
		FUZZ_CHECK(print_yaml(out, v) == 0);
		(void)fclose(out);
	}
	json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once, twice;

	buf_init(&once, 1u << 24);
	buf_init(&twice, 1u << 24);
	text_clean(&once, (const char *)data, size);
	check_clean(&once);
	text_clean(&twice, (const char *)once.data, once.len);
	FUZZ_CHECK(once.len == twice.len && (once.len == 0 || memcmp(once.data, twice.data, once.len) == 0));
	buf_free(&once);
	buf_free(&twice);
	fuzz_answer(data, size);
	return 0;
}
