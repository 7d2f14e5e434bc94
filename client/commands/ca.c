/*
 * ca - the fleet's certificate authority: which one signs, who has not taken it, and another one in its place.
 */
#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/out/text.h"
#include "client/resource/view.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <unistd.h>

#define CA_PATH    "/api/v1/fleet/ca"
#define CA_LOOK_US 500000
#define CA_WAIT_MS 600000 /* --wait without a time */

static int show(const struct invocation *in, const json_t *ca)
{
	const enum print_format format = invocation_format(in);
	int rc;

	if (format == PRINT_NAME) {
		text_printf(in->out, "%s", json_string_value(json_object_get(ca, "fingerprint")));
		rc = fputc('\n', in->out) == EOF ? -1 : 0;
	} else if (format == PRINT_TABLE) {
		rc = view_details(in->out, ca);
	} else {
		rc = format == PRINT_YAML ? print_yaml(in->out, ca) : print_json_line(in->out, ca);
	}
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

static bool is_steady(const json_t *ca)
{
	const char *status = json_string_value(json_object_get(ca, "status"));

	return status != NULL && str_eq(status, "steady");
}

/* Looks until all have taken it, or the time is over; *ca is replaced by what it is then. */
static int wait_for_all(const struct invocation *in, struct api *api, json_t **ca)
{
	const uint64_t end_ms = clock_mono_ms() + (uint64_t)options_number(&in->options, "wait", CA_WAIT_MS);
	struct http_answer answer;
	struct failure f;

	while (!is_steady(*ca) && clock_mono_ms() < end_ms) {
		(void)usleep(CA_LOOK_US);
		if (api_get(api, CA_PATH, &answer, &f) != 0)
			return invocation_fail(in, &f);
		json_decref(*ca);
		*ca = json_incref(answer.body);
		http_answer_fini(&answer);
	}
	return EXIT_DONE;
}

static int tell(const struct invocation *in, struct api *api, const struct http_answer *answer)
{
	json_t *ca = json_incref(answer->body);
	int rc = EXIT_DONE;

	if (options_has(&in->options, "wait"))
		rc = wait_for_all(in, api, &ca);
	if (rc == EXIT_DONE)
		rc = show(in, ca);
	if (rc == EXIT_DONE && options_has(&in->options, "wait") && !is_steady(ca)) {
		(void)fputs("portway ca: some relays or controlds have not taken it yet\n", stderr);
		rc = EXIT_BAD_NEWS;
	}
	json_decref(ca);
	return rc;
}

/* path NULL: only looks. Takes the body. */
static int call(const struct invocation *in, const char *path, json_t *body)
{
	const struct api_request rq = { .method = "POST", .path = path, .body = body, .keyed = true };
	struct http_answer answer;
	struct failure f;
	struct api *api;
	int rc = invocation_api(in, &api);

	if (rc != 0) {
		json_decref(body);
		return rc;
	}
	if ((path == NULL ? api_get(api, CA_PATH, &answer, &f) : api_call(api, &rq, &answer, &f)) != 0) {
		rc = invocation_fail(in, &f);
	} else {
		rc = tell(in, api, &answer);
		http_answer_fini(&answer);
	}
	api_close(api);
	json_decref(body);
	return rc;
}

int command_ca(struct invocation *in)
{
	const bool force = options_has(&in->options, "force");

	if (str_eq(in->argv[0], "show"))
		return call(in, NULL, NULL);
	if (str_eq(in->argv[0], "rotate"))
		return call(in, CA_PATH "/rotate", NULL);
	if (str_eq(in->argv[0], "retire"))
		return call(in, CA_PATH "/retire", json_pack("{s:b}", "force", force));
	return invocation_usage(in, "'%s': must be show, rotate or retire", in->argv[0]);
}
