/*
 * cost WHAT WHO N STEPS - runs one case; tests/bench/cost/run counts its instructions.
 */
#include "tests/bench/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned long cost_found;

static const struct cost_case *const tables[] = { cost_http, cost_lb, cost_route };

static const struct cost_case *find(const char *what, const char *who)
{
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		for (const struct cost_case *c = tables[i]; c->what != NULL; c++)
			if (strcmp(c->what, what) == 0 && strcmp(c->who, who) == 0)
				return c;
	return NULL;
}

int main(int argc, char **argv)
{
	const struct cost_case *c = argc == 5 ? find(argv[1], argv[2]) : NULL;

	if (c == NULL) {
		fprintf(stderr, "usage: cost WHAT WHO N STEPS\n");
		return 2;
	}
	c->prepare((unsigned)strtoul(argv[3], NULL, 10));
	for (unsigned long left = strtoul(argv[4], NULL, 10); left > 0; left--)
		c->step();
	return 0;
}
