#include "relayd/filter/header_rules.h"

#include "common/base/err.h"
#include "proto/route_parts.h"

#include <stdlib.h>
#include <string.h>

bool header_rules_may(const char *name)
{
	const enum http_name id = http_name_find((const uint8_t *)name, strlen(name));

	return id != HTTP_NAME_HOST && id != HTTP_NAME_CONTENT_LENGTH && id != HTTP_NAME_EXPECT &&
	       (http_name_flags(id) & HTTP_NAME_HOP) == 0;
}

int header_rules_init(struct header_rules *r, const struct route_rule *conf, unsigned n, struct err *e)
{
	*r = (struct header_rules){ .n = 0 };
	if (n == 0)
		return 0;
	r->rules = calloc(n, sizeof *r->rules);
	if (r->rules == NULL)
		return err_set(e, ERR_NOMEM, NULL, "header rules: out of memory");
	for (unsigned i = 0; i < n; i++) {
		struct header_rule *to = &r->rules[r->n];

		if (!header_rules_may(conf[i].name))
			continue;
		to->op = conf[i].op;
		to->name = conf[i].name;
		if (to->op != ROUTE_RULE_REMOVE && template_read(&to->value, conf[i].value, e) != 0) {
			header_rules_fini(r);
			return -1;
		}
		r->n++;
	}
	return 0;
}

void header_rules_fini(struct header_rules *r)
{
	free(r->rules);
	*r = (struct header_rules){ .n = 0 };
}

void header_rules_run(const struct header_rules *r, const struct filter_view *v, struct edit *e)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct header_rule *rule = &r->rules[i];

		switch (rule->op) {
		case ROUTE_RULE_SET:
			text_set(e, rule->name, template_fill(&rule->value, v, e));
			break;
		case ROUTE_RULE_ADD:
			text_field(e, rule->name, template_fill(&rule->value, v, e));
			break;
		default:
			edit_remove(e, rule->name);
			break;
		}
	}
}
