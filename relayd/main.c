#include "relayd/app.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "relayd/link/link_child.h"
#include "relayd/loop/child.h"
#include "relayd/options.h"

#include <stdio.h>
#include <sys/stat.h>

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static int with_settings(const struct options *o)
{
	struct settings s;

	if (options_settings(o, &s) != 0)
		return EXIT_FAILED;
	if (o->action == OPTIONS_RUN)
		return app_run(o, &s);
	if (o->action == OPTIONS_PRINT_CONFIG)
		conf_print(settings_table(), &s, stdout);
	settings_free(&s);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	struct options o;
	struct err e = { .code = ERR_NONE };

	if (argc == 2 && str_eq(argv[1], LINK_CHILD_WORD))
		link_child_run(CHILD_FD);
	app_hold_signals();
	if (options_parse(&o, argc, argv, &e) != 0) {
		fprintf(stderr, "relayd: %s\nTry 'relayd --help'.\n", e.msg);
		return EXIT_USAGE;
	}
	umask(077);
	switch (o.action) {
	case OPTIONS_RUN:
	case OPTIONS_CHECK_CONFIG:
	case OPTIONS_PRINT_CONFIG:
		return with_settings(&o);
	case OPTIONS_PRINT_EXAMPLE:
		conf_print_example(settings_table(), stdout);
		break;
	case OPTIONS_PRINT_MDOC:
		conf_print_mdoc(settings_table(), stdout);
		break;
	case OPTIONS_VERSION:
		printf("relayd %s\n", PORTWAY_VERSION);
		break;
	case OPTIONS_HELP:
		options_help(stdout);
		break;
	}
	return EXIT_OK;
}
