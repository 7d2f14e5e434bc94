#include "controld/app.h"
#include "controld/db_command.h"
#include "controld/options.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static int with_settings(const struct options *o)
{
	struct settings *s;

	if (options_settings_or_say(o, &s) != 0)
		return EXIT_FAILED;
	if (o->action == OPTIONS_PRINT_CONFIG)
		conf_print(&settings_table, s, stdout);
	settings_free(s);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	struct options o;
	struct err e = { 0 };

	if (argc > 1 && str_eq(argv[1], "db"))
		return db_command(argc - 1, argv + 1);
	if (options_parse(&o, argc, argv, false, &e) != 0) {
		fprintf(stderr, "controld: %s\nTry 'controld --help'.\n", e.msg);
		return EXIT_USAGE;
	}
	switch (o.action) {
	case OPTIONS_CHECK_CONFIG:
	case OPTIONS_PRINT_CONFIG:
		return with_settings(&o);
	case OPTIONS_PRINT_EXAMPLE:
		conf_print_example(&settings_table, stdout);
		return EXIT_OK;
	case OPTIONS_PRINT_MDOC:
		conf_print_mdoc(&settings_table, stdout);
		return EXIT_OK;
	case OPTIONS_VERSION:
		printf("controld %s\n", PORTWAY_VERSION);
		return EXIT_OK;
	case OPTIONS_HELP:
		options_help(stdout);
		return EXIT_OK;
	case OPTIONS_RUN:
		break;
	}
	/* What a request needed stays for the next ones, instead of going back to the kernel and coming page by page. */
	(void)mallopt(M_TRIM_THRESHOLD, 32 << 20);
	(void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
	umask(077);
	return app_main(&o) == 0 ? EXIT_OK : EXIT_FAILED;
}
