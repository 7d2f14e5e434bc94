/*
 * header_rules - fields of a request or an answer that are set, added or removed, one rule after the other.
 *
 * Some fields cannot be had by a rule: those that say where a message ends or where it goes, and those for one hop only. controld
 * refuses them by name; a relay leaves them out.
 *
 * Owner: a route's filters; immutable.
 */
#ifndef PORTWAY_RELAYD_FILTER_HEADER_RULES_H
#define PORTWAY_RELAYD_FILTER_HEADER_RULES_H

#include "relayd/filter/template.h"

struct route_rule;

struct header_rule {
	uint8_t op;       /* enum route_rule_op */
	const char *name; /* in lower case */
	struct template value;
};

struct header_rules {
	struct header_rule *rules;
	unsigned n;
};

/* Whether a rule may be about that field. */
bool header_rules_may(const char *name);
/* Borrows the texts. 0, or -1 and *e. */
int header_rules_init(struct header_rules *r, const struct route_rule *conf, unsigned n, struct err *e) MUST_CHECK;
void header_rules_fini(struct header_rules *r);
void header_rules_run(const struct header_rules *r, const struct filter_view *v, struct edit *e);

#endif
