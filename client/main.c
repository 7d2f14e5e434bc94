/*
 * portway - the client side: agent and command line. What each command does is in commands/.
 */
#include "client/commands/command.h"
#include "common/base/str.h"

#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* A misspelt name would be passed over without a word, and who asks would be somebody else. */
static void warn_of_names(char **env)
{
	static const char *const names[] = { "PORTWAY_URL", "PORTWAY_TOKEN", "PORTWAY_API_KEY", "PORTWAY_PASSWORD",
		"PORTWAY_PROFILE", "PORTWAY_CA" };

	for (; *env != NULL; env++) {
		const char *nearest = NULL;
		char name[64];

		if (!str_starts(*env, "PORTWAY_") ||
			str_fmt(name, sizeof name, "%.*s", (int)strcspn(*env, "="), *env) != 0)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			const size_t distance = str_distance(name, names[i]);

			if (distance == 0) {
				nearest = NULL;
				break;
			}
			if (distance <= 2)
				nearest = names[i];
		}
		if (nearest != NULL)
			(void)fprintf(stderr, "portway: %s is not known; did you mean %s?\n", name, nearest);
	}
}

int main(int argc, char **argv)
{
	int rc;

	/* Only for how wide characters are; what is written is UTF-8 and the same in every language. */
	if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX < 4)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)signal(SIGPIPE, SIG_IGN);
	warn_of_names(environ);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_BAD_NEWS;
	rc = commands_run(argc - 1, argv + 1, stdout);
	curl_global_cleanup();
	if (fflush(stdout) != 0 && rc == EXIT_DONE)
		rc = EXIT_BAD_NEWS; /* a full disk, a reader that went away */
	return rc;
}
