/* A value from a peer in a log line: one line of UTF-8, whole and bounded, in both formats. */
#include "common/base/log.h"
#include "common/base/str.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

static void fuzz_line(enum log_format format, const char *s, const int fds[2])
{
	char line[8192];
	ssize_t n;

	log_init("fuzz", LOG_LEVEL_DEBUG, format, fds[1]);
	log_info("event", log_s("first", s), log_s("second", s));
	n = read(fds[0], line, sizeof line);
	FUZZ_CHECK(n > 0 && n <= 4096);
	FUZZ_CHECK(memchr(line, '\n', (size_t)n) == line + n - 1);
	FUZZ_CHECK(str_is_utf8(line, (size_t)n));
	for (ssize_t i = 0; i < n - 1; i++)
		FUZZ_CHECK((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
	if (format == LOG_FORMAT_JSON)
		FUZZ_CHECK(line[0] == '{' && line[n - 2] == '}');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fds[2] = { -1, -1 };
	char *s = fuzz_string(data, size);

	if (fds[0] < 0)
		FUZZ_CHECK(pipe(fds) == 0);
	if (s == NULL)
		return 0;
	fuzz_line(LOG_FORMAT_TEXT, s, fds);
	fuzz_line(LOG_FORMAT_JSON, s, fds);
	log_init("fuzz", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	free(s);
	return 0;
}
