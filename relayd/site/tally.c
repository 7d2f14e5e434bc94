#include "relayd/site/tally.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>

void tally_book_init(struct tally_book *b, struct meter *meter)
{
	b->meter = meter;
	map_init(&b->by_id);
}

void tally_book_fini(struct tally_book *b)
{
	map_free(&b->by_id);
}

int tally_get(struct tally_book *b, const char *id, struct tally **out, struct err *e)
{
	struct tally *t = map_get_str(&b->by_id, id);

	if (t == NULL) {
		t = calloc(1, sizeof *t);
		if (t == NULL)
			return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", id);
		t->book = b;
		rate_init(&t->rate[0]);
		rate_init(&t->rate[1]);
		str_copy(t->id, sizeof t->id, id);
		if (meter_slot_get(b->meter, id, &t->slot, e) != 0) {
			free(t);
			return -1;
		}
		if (map_put_str(&b->by_id, t->id, t, NULL) != 0) {
			meter_slot_put(b->meter, &t->slot);
			free(t);
			return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", id);
		}
	}
	t->refs++;
	*out = t;
	return 0;
}

void tally_unref(struct tally *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	map_remove_str(&t->book->by_id, t->id);
	meter_slot_put(t->book->meter, &t->slot);
	rate_fini(&t->rate[0]);
	rate_fini(&t->rate[1]);
	free(t);
}
