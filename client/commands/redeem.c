/*
 * redeem - a connection code used: a port of the relays that lets this machine's address through to one target.
 */
#define _GNU_SOURCE
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "client/term/prompt.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <string.h>
#include <unistd.h>

#define CODE_SIZE 80

/* A code that is refused may still be good (a wrong controld): it is asked for rather than written where others see it. */
static int read_code(const struct invocation *in, char code[CODE_SIZE])
{
	struct failure f;
	struct err e;
	int rc;

	if (in->argc > 0 && !str_eq(in->argv[0], "-"))
		return str_copy(code, CODE_SIZE, in->argv[0]) == 0 ? 0
		                                                   : invocation_usage(in, "that is no connection code");
	rc = prompt_possible() ? prompt_line("Connection code: ", code, CODE_SIZE, &e)
	                       : prompt_read(code, CODE_SIZE, &e);
	if (rc == 0)
		return 0;
	(void)failure_from_err(&f, EXIT_USAGE, &e);
	return invocation_fail(in, &f);
}

static int redeem(struct verb *v, const char *code)
{
	json_t *body = json_pack("{s:s}", "code", code);
	const struct api_request rq = {
		.method = "POST", .path = "/api/v1/connection-codes/redeem", .body = body, .public = true
	};
	struct http_answer answer;
	int rc = body == NULL ? invocation_usage(v->in, "that is no connection code")
	                      : api_call(v->api, &rq, &answer, &v->f);

	json_decref(body);
	if (body == NULL)
		return rc;
	if (rc != 0)
		return verb_fail(v);
	rc = verb_show(v, answer.body);
	if (rc == EXIT_DONE && invocation_format(v->in) == PRINT_TABLE) {
		const char *until = json_string_value(json_object_get(answer.body, "expires_at"));

		(void)fputc('\n', v->in->out);
		text_printf(v->in->out, "Only your address gets through, until %s.",
			until != NULL ? until : "it is deleted");
		(void)fputc('\n', v->in->out);
	}
	http_answer_fini(&answer);
	return rc;
}

int command_redeem(struct invocation *in)
{
	char code[CODE_SIZE];
	struct verb v;
	int rc = read_code(in, code);

	if (rc != 0)
		return rc;
	rc = verb_begin(&v, in, "mapping", 0);
	if (rc == 0)
		rc = redeem(&v, code);
	explicit_bzero(code, sizeof code);
	verb_end(&v);
	return rc;
}
