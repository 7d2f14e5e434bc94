#include "common/uv/wheel.h"

#define SLOT(tick)  ((tick) % WHEEL_SLOTS)
#define FAR_TICKS   64 /* about a second */
#define FAR_ROUNDED 16

void wheel_init(struct wheel *w, uint64_t now_ns)
{
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&w->slots[i]);
	for (size_t i = 0; i < ARRAY_LEN(w->busy); i++)
		w->busy[i] = 0;
	w->tick = now_ns >> WHEEL_TICK_SHIFT;
}

void timer_init(struct timer *t, timer_fn on_due)
{
	list_init(&t->link);
	t->on_due = on_due;
	t->due = 0;
}

static void file(struct wheel *w, struct timer *t)
{
	size_t slot = SLOT(t->due);

	list_push_back(&w->slots[slot], &t->link);
	w->busy[slot / 64] |= UINT64_C(1) << (slot % 64);
}

void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_ns)
{
	uint64_t due = (due_ns + WHEEL_TICK_NS - 1) >> WHEEL_TICK_SHIFT;

	if (due > w->tick + FAR_TICKS)
		due = (due + FAR_ROUNDED - 1) / FAR_ROUNDED * FAR_ROUNDED;
	list_remove(&t->link);
	t->due = MAX(due, w->tick + 1);
	file(w, t);
}

/* The slot's bit stays: the next turn finds it empty and clears it. */
void wheel_disarm(struct timer *t)
{
	list_remove(&t->link);
}

bool timer_armed(const struct timer *t)
{
	return !list_empty(&t->link);
}

static void turn_slot(struct wheel *w, size_t slot)
{
	struct list due;
	struct list *first;

	list_init(&due);
	list_splice(&due, &w->slots[slot]);
	w->busy[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
	while ((first = list_first(&due)) != NULL) {
		struct timer *t = CONTAINER_OF(first, struct timer, link);

		list_remove(first);
		if (t->due > w->tick)
			file(w, t); /* another time round */
		else
			t->on_due(t);
	}
}

void wheel_advance(struct wheel *w, uint64_t now_ns)
{
	uint64_t now = now_ns >> WHEEL_TICK_SHIFT;

	if (now > w->tick + WHEEL_SLOTS)
		w->tick = now - WHEEL_SLOTS; /* one time round meets every slot */
	while (w->tick < now) {
		size_t slot = SLOT(++w->tick);

		if (w->busy[slot / 64] & UINT64_C(1) << (slot % 64))
			turn_slot(w, slot);
	}
}

uint64_t wheel_next_ns(const struct wheel *w)
{
	size_t start = SLOT(w->tick + 1);

	for (size_t seen = 0; seen < WHEEL_SLOTS;) {
		size_t slot = (start + seen) % WHEEL_SLOTS;
		uint64_t word = w->busy[slot / 64] >> (slot % 64);

		if (word != 0)
			return (w->tick + 1 + seen + (uint64_t)__builtin_ctzll(word)) << WHEEL_TICK_SHIFT;
		seen += 64 - slot % 64;
	}
	return UINT64_MAX;
}
