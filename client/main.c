/*
 * portway - the client side: agent and command line. What each command does is in commands/.
 */
#include "client/commands/command.h"

#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	int rc;

	/* Only for how wide characters are; what is written is UTF-8 and the same in every language. */
	if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX < 4)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_BAD_NEWS;
	rc = commands_run(argc - 1, argv + 1, stdout);
	curl_global_cleanup();
	if (fflush(stdout) != 0 && rc == EXIT_DONE)
		rc = EXIT_BAD_NEWS; /* a full disk, a reader that went away */
	return rc;
}
