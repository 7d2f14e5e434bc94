#include "controld/fleet/line/balance.h"

/* Of those that are here at most a sixteenth goes in a step, and that many may come back before nobody goes any more. */
static size_t few(size_t here)
{
	return MAX(here / 16, 4);
}

size_t balance_step(struct balance *b, const struct balance_view *v, uint64_t now_ms)
{
	const size_t share = (v->online + v->controlds - 1) / v->controlds, slack = MAX(share / 8, 2);

	if (v->controlds != b->controlds || v->here > b->least + slack) {
		b->controlds = v->controlds;
		b->least = v->here;
		b->since_ms = now_ms;
	}
	b->least = MIN(b->least, v->here);
	if (b->after_ms == 0 || v->controlds < 2 || now_ms - b->since_ms < b->after_ms || now_ms < b->next_ms)
		return 0;
	b->next_ms = now_ms + MIN(BALANCE_STEP_MS, b->after_ms);
	if (v->here <= share + slack || v->came_back > few(v->here))
		return 0;
	return MIN(v->here - share, few(v->here));
}
