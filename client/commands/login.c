/*
 * login, logout, whoami - who asks controld, and the tokens that are kept for it.
 */
#include "client/api/api.h"
#include "client/api/profile.h"
#include "client/commands/command.h"
#include "client/out/print.h"
#include "client/out/text.h"
#include "client/term/prompt.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EMAIL_SIZE    256
#define PASSWORD_SIZE 1025

/* ---- login -------------------------------------------------------------------------------------------------------- */

struct login {
	char email[EMAIL_SIZE];
	char password[PASSWORD_SIZE];
};

static int take_email(struct login *l, const struct invocation *in, const struct api *api, struct err *e)
{
	const struct profile *kept = api_profile(api);
	const char *given = options_text(&in->options, "email", NULL);
	char question[EMAIL_SIZE + 16] = "Email: ";

	if (given != NULL)
		return str_copy(l->email, sizeof l->email, given) == 0
		               ? 0
		               : err_set(e, ERR_VALIDATION, "email", "--email is longer than %d bytes", EMAIL_SIZE - 1);
	if (!prompt_possible())
		return err_set(e, ERR_VALIDATION, "email", "--email is needed where nobody can be asked");
	if (kept == NULL || kept->email[0] == '\0')
		return prompt_line(question, l->email, sizeof l->email, e);
	(void)str_fmt(question, sizeof question, "Email [%s]: ", kept->email);
	if (prompt_line(question, l->email, sizeof l->email, e) == 0)
		return 0;
	return str_copy(l->email, sizeof l->email, kept->email); /* nothing entered: the one in brackets */
}

/* From the terminal, else the environment, else the standard input: never from the arguments, which all can see. */
static int take_password(struct login *l, struct err *e)
{
	const char *given = getenv("PORTWAY_PASSWORD");

	if (given != NULL && given[0] != '\0')
		return str_copy(l->password, sizeof l->password, given) == 0
		               ? 0
		               : err_set(e, ERR_VALIDATION, NULL, "PORTWAY_PASSWORD is too long");
	if (prompt_possible())
		return prompt_secret("Password: ", l->password, sizeof l->password, e);
	return prompt_read(l->password, sizeof l->password, e);
}

static void warn_of_plain(const char *url)
{
	if (!str_starts(url, "http://") || http_is_local(url))
		return;
	text_printf(stderr, "portway login: %s is not encrypted: password and tokens can be read on the way", url);
	(void)fputc('\n', stderr);
}

static void warn_of_environment(void)
{
	static const char *const names[] = { "PORTWAY_TOKEN", "PORTWAY_API_KEY" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = getenv(names[i]);

		if (value != NULL && value[0] != '\0')
			(void)fprintf(stderr, "portway login: %s is set and goes before the login\n", names[i]);
	}
}

static int log_in(const struct invocation *in, struct api *api, const struct login *l)
{
	const char *tenant = options_text(&in->options, "tenant", NULL);
	json_t *body = json_pack("{s:s, s:s, s:s*}", "email", l->email, "password", l->password, "tenant_id", tenant);
	const struct api_request rq = { .method = "POST", .path = "/auth/login", .body = body, .public = true };
	struct http_answer answer;
	struct failure f;
	int rc;

	warn_of_plain(api_url(api));
	rc = api_call(api, &rq, &answer, &f);
	json_decref(body);
	if (rc != 0)
		return invocation_fail(in, &f);
	rc = api_keep_login(api, answer.body, &f) == 0 ? EXIT_DONE : invocation_fail(in, &f);
	http_answer_fini(&answer);
	if (rc == EXIT_DONE) {
		text_printf(in->out, "Logged in at %s as %s (profile %s).", api_url(api), api_profile(api)->email,
			api_profile_name(api));
		(void)fputc('\n', in->out);
		warn_of_environment();
	}
	return rc;
}

int command_login(struct invocation *in)
{
	struct login l = { .email = "" };
	struct api *api;
	struct err e;
	int rc = invocation_login(in, &api);

	if (rc != 0)
		return rc;
	if (take_email(&l, in, api, &e) != 0 || take_password(&l, &e) != 0)
		rc = invocation_usage(in, "%s", e.msg);
	else
		rc = log_in(in, api, &l);
	explicit_bzero(&l, sizeof l);
	api_close(api);
	return rc;
}

/* ---- logout ------------------------------------------------------------------------------------------------------- */

/* The login is forgotten whatever controld says; that it still holds there is told. */
int command_logout(struct invocation *in)
{
	const struct api_request rq = { .method = "POST", .path = "/auth/logout" };
	struct api *api;
	struct failure f;
	struct err e;
	int rc = invocation_login(in, &api);

	if (rc != 0)
		return rc;
	if (api_profile(api) == NULL) {
		failure_set(
			&f, EXIT_CREDENTIALS, "profile %s has no login for %s", api_profile_name(api), api_url(api));
		rc = invocation_fail(in, &f);
	} else {
		if (api_call(api, &rq, NULL, &f) != 0 && f.exit != EXIT_CREDENTIALS)
			rc = invocation_fail(in, &f);
		if (profile_remove(api_profile_name(api), &e) != 0) {
			failure_from_err(&f, EXIT_BAD_NEWS, &e);
			rc = invocation_fail(in, &f);
		} else if (rc == 0) {
			(void)fprintf(in->out, "Logged out (profile %s).\n", api_profile_name(api));
		} else {
			(void)fprintf(stderr,
				"portway logout: forgotten here; controld may not know, the session ends by itself\n");
		}
	}
	api_close(api);
	return rc;
}

/* ---- whoami ------------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "-";
}

static void print_whoami(const struct invocation *in, const struct api *api, const json_t *user)
{
	const bool admin = json_is_true(json_object_get(user, "system_admin"));
	const struct profile *p = api_profile(api);

	text_printf(in->out, "%s, %s of tenant %s%s", text_of(user, "email"), text_of(user, "role"),
		text_of(user, "tenant_id"), admin ? ", system administrator" : "");
	(void)fputc('\n', in->out);
	text_printf(
		in->out, "at %s by %s%s%s", api_url(api), api_who(api), p != NULL ? " " : "", p != NULL ? p->name : "");
	(void)fputc('\n', in->out);
}

static int show_whoami(const struct invocation *in, const struct api *api, const json_t *user)
{
	const enum print_format format = invocation_format(in);
	json_t *all;
	int rc = 0;

	if (format == PRINT_TABLE) {
		print_whoami(in, api, user);
		return EXIT_DONE;
	}
	if (format == PRINT_NAME) {
		text_printf(in->out, "%s", text_of(user, "id"));
		return fputc('\n', in->out) == EOF ? EXIT_BAD_NEWS : EXIT_DONE;
	}
	all = json_pack("{s:s, s:s, s:O}", "url", api_url(api), "credentials", api_who(api), "user", user);
	rc = format == PRINT_YAML ? print_yaml(in->out, all) : print_json(in->out, all);
	json_decref(all);
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

int command_whoami(struct invocation *in)
{
	struct http_answer answer;
	struct api *api;
	struct failure f;
	int rc = invocation_api(in, &api);

	if (rc != 0)
		return rc;
	if (api_get(api, "/api/profile", &answer, &f) != 0) {
		rc = invocation_fail(in, &f);
	} else {
		rc = show_whoami(in, api, answer.body);
		http_answer_fini(&answer);
	}
	api_close(api);
	return rc;
}
