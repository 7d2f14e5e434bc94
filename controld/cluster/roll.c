#include "controld/cluster/roll.h"

#include "common/base/str.h"

static struct roll_entry *find(struct roll *r, const char *id)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->all[i].id, id))
			return &r->all[i];
	return NULL;
}

void roll_begin(struct roll *r)
{
	r->look++;
}

void roll_see(struct roll *r, const char *id, int64_t beat)
{
	struct roll_entry *one = find(r, id);

	if (one == NULL && r->n < ROLL_MAX) {
		one = &r->all[r->n++];
		*one = (struct roll_entry){ .beat = beat - 1 };
		(void)str_copy(one->id, sizeof one->id, id);
	}
	if (one == NULL)
		return;
	one->beats = one->beats || (one->look != 0 && one->beat != beat);
	one->missed = one->beat != beat ? 0 : one->missed + 1;
	one->lost = one->lost && one->missed > 0;
	one->beat = beat;
	one->look = r->look;
}

void roll_end(struct roll *r, roll_lost_fn lost, void *arg)
{
	for (size_t i = 0; i < r->n;) {
		struct roll_entry *one = &r->all[i];
		bool gone = one->look != r->look;

		if (!one->lost && (gone || one->missed >= ROLL_MISSES)) {
			one->lost = true;
			lost(one->id, arg);
		}
		if (gone)
			*one = r->all[--r->n];
		else
			i++;
	}
}

size_t roll_alive(const struct roll *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->all[i].beats && !r->all[i].lost;
	return n;
}
