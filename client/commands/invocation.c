/*
 * invocation - what the commands need of their call: controld as the options say, complaints, the form of the output.
 */
#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/out/text.h"
#include "common/base/str.h"

#include <stdarg.h>

int invocation_fail(const struct invocation *in, const struct failure *f)
{
	return failure_print(f, stderr, in->who);
}

int invocation_usage(const struct invocation *in, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	text_printf(stderr, "%s: %s; see %s --help", in->who, why, in->who);
	(void)fputc('\n', stderr);
	return EXIT_USAGE;
}

static int open_api(const struct invocation *in, bool login_only, struct api **out)
{
	const struct api_conf conf = {
		.login_only = login_only,
		.url = options_text(&in->options, "url", NULL),
		.profile = options_text(&in->options, "profile", NULL),
		.ca_file = options_text(&in->options, "ca", NULL),
		.tries = (unsigned)options_number(&in->options, "tries", 0),
		.timeout_ms = (uint64_t)options_number(&in->options, "timeout", 0),
	};
	struct failure f;

	return api_open(out, &conf, &f) == 0 ? 0 : invocation_fail(in, &f);
}

int invocation_api(const struct invocation *in, struct api **out)
{
	return open_api(in, false, out);
}

int invocation_login(const struct invocation *in, struct api **out)
{
	return open_api(in, true, out);
}

enum print_format invocation_format(const struct invocation *in)
{
	if (options_has(&in->options, "json"))
		return PRINT_JSON;
	return print_format(options_text(&in->options, "output", NULL));
}

int invocation_etag(const struct invocation *in, char *dst, size_t size)
{
	const char *given = options_text(&in->options, "if-match", NULL);

	dst[0] = '\0';
	if (given == NULL)
		return 0;
	if (given[0] == '"')
		return str_copy(dst, size, given) == 0 ? 0 : invocation_usage(in, "--if-match is too long");
	if (str_fmt(dst, size, "\"%s%s\"", given[0] == 'v' ? "" : "v", given) != 0)
		return invocation_usage(in, "--if-match is too long");
	return 0;
}
