#include "relayd/filter/kept.h"

#include "relayd/filter/header_rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct kept {
	const struct kept_names *names;
	struct http_span values[]; /* as many; their bytes follow */
};

/* Names of fields are the same in any case of letters; those of cookies are not, and are kept once more at worst. */
static bool is_same(const struct template_part *a, const struct template_part *b)
{
	return a->what == b->what && a->arg.n == b->arg.n && strncasecmp(a->arg.p, b->arg.p, a->arg.n) == 0 &&
	       (template_part_is_field(a) || memcmp(a->arg.p, b->arg.p, a->arg.n) == 0);
}

static unsigned find(const struct kept_names *k, const struct template_part *place)
{
	unsigned i = 0;

	while (i < k->n && !is_same(&k->parts[i], place))
		i++;
	return i;
}

int kept_names_init(struct kept_names *k, const struct header_rules *rules)
{
	*k = (struct kept_names){ .n = 0 };
	for (unsigned i = 0; i < rules->n; i++) {
		const struct template *t = &rules->rules[i].value;

		for (unsigned p = 0; p < t->n; p++) {
			struct template_part *more;

			if (!template_part_is_asked(&t->parts[p]) || find(k, &t->parts[p]) < k->n)
				continue;
			more = realloc(k->parts, (k->n + 1) * sizeof *more);
			if (more == NULL) {
				kept_names_fini(k);
				return -1;
			}
			k->parts = more;
			k->parts[k->n++] = t->parts[p];
		}
	}
	return 0;
}

void kept_names_fini(struct kept_names *k)
{
	free(k->parts);
	*k = (struct kept_names){ .n = 0 };
}

struct kept *kept_take(const struct kept_names *names, const struct filter_view *v)
{
	size_t bytes = 0;
	struct kept *k;
	char *to;

	if (names->n == 0)
		return NULL;
	for (unsigned i = 0; i < names->n; i++)
		bytes += template_part_asked(&names->parts[i], v).n;
	k = malloc(sizeof *k + names->n * sizeof k->values[0] + bytes);
	if (k == NULL)
		return NULL;
	k->names = names;
	to = (char *)(k->values + names->n);
	for (unsigned i = 0; i < names->n; i++) {
		const struct http_span text = template_part_asked(&names->parts[i], v);

		if (text.n > 0)
			memcpy(to, text.p, text.n);
		k->values[i] = (struct http_span){ to, text.n };
		to += text.n;
	}
	return k;
}

void kept_free(struct kept *k)
{
	free(k);
}

struct http_span kept_value(const struct kept *k, const struct template_part *place)
{
	const unsigned i = k != NULL ? find(k->names, place) : 0;

	return k != NULL && i < k->names->n ? k->values[i] : (struct http_span){ "", 0 };
}
