/*
 * cost - pure code whose instructions are counted: what the cases share.
 */
#ifndef PORTWAY_TESTS_BENCH_COST_H
#define PORTWAY_TESTS_BENCH_COST_H

#include <stddef.h>

struct cost_case {
	const char *what, *who;      /* "http" "portway" */
	void (*prepare)(unsigned n); /* how many there are, of whatever it is */
	void (*step)(void);          /* what is counted */
};

extern const struct cost_case cost_http[];  /* n: fields */
extern const struct cost_case cost_lb[];    /* n: targets */
extern const struct cost_case cost_route[]; /* n: hosts */

extern unsigned long cost_found; /* results go here, so that the compiler leaves nothing out */

/* A field of a request; for the parsers that leave it to their caller to know four names. */
void cost_http_field(const char *name, size_t name_n, const char *value, size_t value_n);
/* One request through http_parser. */
void cost_http_parser(const char *bytes, size_t n);

#endif
