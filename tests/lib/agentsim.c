/*
 * agentsim - many agents in one process, each with its own client: agentsim TOKENS RELAYS FOLDER
 *
 * TOKENS is a file with a token a line, FOLDER gets a state folder for each. Prints "opened N", and why one ends by itself.
 */
#include "client/agent/agent.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "common/uv/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTORS 100000
#define LINE        512

static void on_wake(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static void on_ready(void *arg)
{
	(void)arg;
}

static void on_over(void *arg, enum command_exit code, const char *why)
{
	(void)arg;
	printf("over %d: %s\n", (int)code, why);
	fflush(stdout);
}

static int open_one(struct worker *w, const char *token, const char *relays, const char *folder, unsigned n)
{
	static const struct agent_events events = { on_ready, on_over, NULL, NULL };
	char set_token[LINE + 8], set_state[LINE], set_relays[LINE];
	const char *const set[] = { set_token, set_state, set_relays, "proxy=off", NULL }, *const none[] = { NULL };
	const struct conf_source src = { .env = none, .set = set };
	struct err_list *errs = calloc(1, sizeof *errs);
	struct settings s;
	struct agent *a; /* lives as long as the process */
	struct err e = { .msg = "" };
	int r = -1;

	if (errs != NULL && str_fmt(set_token, sizeof set_token, "token=%s", token) == 0 &&
		str_fmt(set_state, sizeof set_state, "state_dir=%s/%u", folder, n) == 0 &&
		str_fmt(set_relays, sizeof set_relays, "relays=%s", relays) == 0 && settings_load(&s, &src, errs) == 0)
		r = agent_open(&a, w, &s, &events, NULL, &e);
	if (r != 0)
		fprintf(stderr, "agentsim: %s%s\n", errs != NULL && errs->n > 0 ? errs->items[0].msg : "", e.msg);
	free(errs);
	return r;
}

int main(int argc, char **argv)
{
	FILE *tokens = argc == 4 ? fopen(argv[1], "r") : NULL;
	struct fd_budget fds;
	struct worker w;
	char line[LINE];
	unsigned n = 0;

	log_init("agentsim", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	fd_budget_init(&fds, DESCRIPTORS);
	if (tokens == NULL || worker_init(&w, 0, &fds, on_wake, NULL, NULL) != 0) {
		fputs("usage: agentsim TOKENS RELAYS FOLDER\n", stderr);
		return 2;
	}
	while (fgets(line, sizeof line, tokens) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (open_one(&w, line, argv[2], argv[3], n++) != 0)
			return 1;
	}
	fclose(tokens);
	printf("opened %u\n", n);
	fflush(stdout);
	worker_run(&w);
	return 0;
}
