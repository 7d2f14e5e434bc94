#include "client/commands/quick_news.h"

#include "client/commands/command.h"
#include "client/out/print.h"
#include "client/out/text.h"

#include <jansson.h>

static void tell_program(FILE *out, const struct quick_news *n)
{
	json_t *line =
		json_pack("{s:s, s:s, s:s?}", "event", n->event, "message", n->message, "what_to_do", n->what_to_do);

	if (line != NULL)
		(void)!print_json_line(out, line);
	(void)fflush(out);
	json_decref(line);
}

void quick_news_tell(const struct invocation *in, const struct quick_news *n)
{
	FILE *out = invocation_format(in) == PRINT_JSON ? in->out : stderr;

	flockfile(out);
	if (out == stderr) {
		text_printf(out, "%s: %s%s%s", in->who, n->message, n->what_to_do != NULL ? "; " : "",
			n->what_to_do != NULL ? n->what_to_do : "");
		(void)fputc('\n', out);
	} else {
		tell_program(out, n);
	}
	funlockfile(out);
}
