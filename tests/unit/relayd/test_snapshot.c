#include "relayd/conf/snapshot.h"

#include "common/base/err.h"
#include "tests/unit/relayd/updates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINES 6

/* "a1 b2!": id, sequence, ! for a faulty object. */
static void print_snapshot(const struct snapshot *s, char *dst, size_t size)
{
	struct snapshot_walk w = { 0 };
	const struct object *o;

	dst[0] = '\0';
	while ((o = snapshot_next(s, &w)) != NULL) {
		size_t at = strlen(dst);

		str_fmt(dst + at, size - at, "%s%s%u%s", at > 0 ? " " : "", o->id, (unsigned)o->seq,
			o->kind == OBJECT_FAULTY ? "!" : "");
	}
}

static struct snapshot *apply(const struct snapshot *base, uint64_t to, const struct update_line *lines)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = base->revision, .to = revision_of(1, to) }, m;
	struct snapshot *out = NULL;
	struct buf b;

	update_make(&b, &m, &head, lines);
	assert_int_equal(snapshot_apply(&out, base, &m, NULL), 0);
	buf_free(&b);
	return out;
}

static struct snapshot *starting_point(const struct update_line *lines)
{
	struct msg_update head = { .kind = UPDATE_SNAPSHOT, .to = revision_of(1, 10) }, m;
	struct snapshot *empty, *out = NULL;
	struct snapshot_stage *stage = NULL;
	struct buf b;

	assert_int_equal(snapshot_new(&empty, NULL), 0);
	update_make(&b, &m, &head, lines);
	assert_int_equal(snapshot_stage_add(&stage, empty, &m, NULL), 0);
	assert_int_equal(snapshot_stage_finish(&out, &stage, NULL), 0);
	assert_null(stage);
	snapshot_unref(empty);
	buf_free(&b);
	return out;
}

static const struct {
	const char *what;
	struct update_line lines[LINES];
	const char *want;
} deltas[] = {
	{ "nothing", { NO_MORE }, "b1 d2 f3" },
	{ "first, middle, last", { PUT("g", 11), PUT("a", 11), PUT("e", 12) }, "a11 b1 d2 e12 f3 g11" },
	{ "change", { PUT("d", 11) }, "b1 d11 f3" },
	{ "gone", { GONE("b", 11), GONE("f", 11) }, "d2" },
	{ "gone what was never there", { GONE("x", 11) }, "b1 d2 f3" },
	{ "later entry of one id wins", { GONE("d", 11), PUT("d", 12), PUT("d", 13) }, "b1 d13 f3" },
	{ "put, then gone", { PUT("d", 11), PUT("n", 11), GONE("d", 12), GONE("n", 12) }, "b1 f3" },
	{ "bad body replaces the good one", { BAD_BODY("d", 11) }, "b1 d11! f3" },
	{ "unknown kind", { UNKNOWN("c", 11) }, "b1 c11! d2 f3" },
	{ "good after bad", { BAD_BODY("d", 11), PUT("d", 12) }, "b1 d12 f3" },
};

static void deltas_apply(void **state)
{
	static const struct update_line start[] = { PUT("f", 3), PUT("b", 1), PUT("d", 2), NO_MORE };
	struct snapshot *base = starting_point(start);
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
		struct snapshot *s = apply(base, 20, deltas[i].lines);
		char got[200];

		print_snapshot(s, got, sizeof got);
		if (strcmp(got, deltas[i].want) != 0 || s->revision.seq != 20) {
			print_error("%s: got %s, want %s\n", deltas[i].what, got, deltas[i].want);
			bad++;
		}
		snapshot_unref(s);
	}
	snapshot_unref(base);
	assert_int_equal(bad, 0);
}

static void deltas_that_do_not_fit(void **state)
{
	static const struct update_line none[] = { NO_MORE };
	static const struct {
		const char *what;
		uint8_t kind, from_log, to_log;
		uint64_t from, to;
	} cases[] = {
		{ "wrong base", UPDATE_DELTA, 1, 1, 9, 11 },
		{ "base of another log", UPDATE_DELTA, 2, 2, 10, 11 },
		{ "to another log", UPDATE_DELTA, 1, 2, 10, 11 },
		{ "backwards", UPDATE_DELTA, 1, 1, 10, 9 },
		{ "not a delta", UPDATE_SNAPSHOT, 1, 1, 10, 11 },
	};
	struct snapshot *base = starting_point(none);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_update m, head = { .kind = cases[i].kind,
			.from = revision_of(cases[i].from_log, cases[i].from),
			.to = revision_of(cases[i].to_log, cases[i].to) };
		struct snapshot *out = NULL;
		struct err e = { 0 };
		struct buf b;

		print_message("%s\n", cases[i].what);
		update_make(&b, &m, &head, none);
		assert_int_equal(snapshot_apply(&out, base, &m, &e), -1);
		assert_int_equal(e.code, ERR_CONFLICT);
		assert_null(out);
		buf_free(&b);
	}
	snapshot_unref(base);
}

static void what_did_not_change_is_shared(void **state)
{
	static const struct update_line start[] = { PUT("a", 1), PUT("b", 1), PUT("c", 1), NO_MORE };
	static const struct update_line change[] = { PUT("a", 1), PUT("b", 2),
		NO_MORE };                                                             /* a: said again, not changed */
	static const struct update_line same_seq[] = { PUT_PORT("c", 1, 5), NO_MORE }; /* another body */
	struct snapshot *one = starting_point(start), *two = apply(one, 11, change), *three = apply(two, 12, same_seq);

	(void)state;
	assert_ptr_equal(snapshot_find(one, "a"), snapshot_find(two, "a"));
	assert_ptr_equal(snapshot_find(one, "c"), snapshot_find(two, "c"));
	assert_ptr_not_equal(snapshot_find(one, "b"), snapshot_find(two, "b"));
	assert_ptr_not_equal(snapshot_find(two, "c"), snapshot_find(three, "c"));
	assert_int_equal(snapshot_find(three, "c")->mapping.port_first, 5);
	assert_null(snapshot_find(one, "bb"));
	snapshot_unref(one);
	assert_int_equal(snapshot_find(two, "a")->seq, 1);
	snapshot_unref(two);
	snapshot_unref(three);
}

static void pages(void **state)
{
	static const struct update_line start[] = { PUT("keep", 1), PUT("old", 1), NO_MORE };
	static const struct update_line page1[] = { PUT("z", 5), BAD_BODY("bad", 5), NO_MORE };
	static const struct update_line page2[] = { PUT("keep", 1), PUT("a", 5), NO_MORE };
	struct msg_update head = { .kind = UPDATE_SNAPSHOT, .to = revision_of(2, 5), .next_page = 7 }, m;
	struct snapshot *base = starting_point(start), *out = NULL;
	struct snapshot_stage *stage = NULL;
	struct err e = { 0 };
	struct buf b;
	char got[100];

	(void)state;
	update_make(&b, &m, &head, page1);
	assert_int_equal(snapshot_stage_add(&stage, base, &m, NULL), 0);
	buf_free(&b);
	update_make(&b, &m, &head, page2);
	assert_int_equal(snapshot_stage_add(&stage, base, &m, NULL), 0);
	buf_free(&b);
	head.to.seq = 6; /* a page of another revision belongs to another snapshot */
	update_make(&b, &m, &head, page2);
	assert_int_equal(snapshot_stage_add(&stage, base, &m, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	buf_free(&b);
	assert_int_equal(snapshot_stage_finish(&out, &stage, NULL), 0);
	print_snapshot(out, got, sizeof got);
	assert_string_equal(got, "a5 bad5! keep1 z5");
	assert_int_equal(out->revision.seq, 5);
	assert_ptr_equal(snapshot_find(base, "keep"), snapshot_find(out, "keep"));
	snapshot_unref(base);
	snapshot_unref(out);
}

static void note_difference(const struct object *old, const struct object *new_, void *arg)
{
	char *dst = arg;
	size_t at = strlen(dst);

	str_fmt(dst + at, 100 - at, "%s%s ",
		old == NULL    ? "+"
		: new_ == NULL ? "-"
			       : "~",
		old == NULL ? new_->id : old->id);
}

static void differences(void **state)
{
	static const struct update_line start[] = { PUT("a", 1), PUT("b", 1), PUT("c", 1), PUT("d", 1), NO_MORE };
	static const struct update_line change[] = { GONE("a", 2), PUT("b", 2), PUT("bb", 2), PUT("z", 2), NO_MORE };
	struct snapshot *one = starting_point(start), *two = apply(one, 11, change);
	char there[100] = "", back[100] = "", none[100] = "";

	(void)state;
	snapshot_diff(one, two, note_difference, there);
	snapshot_diff(two, one, note_difference, back);
	snapshot_diff(two, two, note_difference, none);
	assert_string_equal(there, "-a ~b +bb +z ");
	assert_string_equal(back, "+a ~b -bb -z ");
	assert_string_equal(none, "");
	snapshot_unref(one);
	snapshot_unref(two);
}

/* A model of what a snapshot should hold: the sequence of each numbered object, 0 when it is not there. */
#define MODEL_N 2000

static void model_step(struct snapshot **s, uint64_t *model, uint64_t seq, unsigned *random)
{
	struct update_line lines[40];
	static char ids[40][16];
	struct snapshot *next;
	unsigned n = 1 + (unsigned)rand_r(random) % 38, phase = (unsigned)(seq / 300) % 3;

	for (unsigned i = 0; i < n; i++) {
		unsigned which = (unsigned)rand_r(random) % MODEL_N;
		bool gone = (unsigned)rand_r(random) % 10 < (phase == 1 ? 9u : 2u);

		str_fmt(ids[i], sizeof ids[i], "map_%05u", which);
		lines[i] = (struct update_line){ ids[i], seq, gone ? LINE_GONE : LINE_MAPPING, 1000 };
		model[which] = gone ? 0 : seq;
	}
	lines[n] = (struct update_line)NO_MORE;
	next = apply(*s, seq, lines);
	snapshot_unref(*s);
	*s = next;
}

struct model_diff {
	uint64_t *from, to[MODEL_N];
	unsigned calls;
};

static void on_model_difference(const struct object *old, const struct object *new_, void *arg)
{
	struct model_diff *d = arg;
	unsigned long which = strtoul((old != NULL ? old : new_)->id + 4, NULL, 10);

	d->calls++;
	assert_int_equal(old != NULL ? old->seq : 0, d->from[which]);
	d->to[which] = new_ != NULL ? new_->seq : 0;
}

static void many_random_deltas(void **state)
{
	static uint64_t model[MODEL_N], before[MODEL_N];
	static const struct update_line none[] = { NO_MORE };
	static struct model_diff d;
	struct snapshot *s = starting_point(none), *old;
	unsigned random = 7;

	(void)state;
	for (uint64_t seq = 11; seq < 1000; seq++) {
		size_t there = 0;

		old = snapshot_ref(s);
		memcpy(before, model, sizeof model);
		model_step(&s, model, seq, &random);
		d = (struct model_diff){ .from = before };
		memcpy(d.to, before, sizeof before);
		snapshot_diff(old, s, on_model_difference, &d);
		assert_memory_equal(d.to, model, sizeof model);
		assert_true(d.calls <= 40);
		for (unsigned i = 0; i < MODEL_N; i++)
			there += model[i] != 0;
		assert_int_equal(s->n, there);
		assert_true(s->n_shelves <= s->n / 32 + 8);
		snapshot_unref(old);
	}
	for (unsigned i = 0; i < MODEL_N; i++) {
		char id[16];
		const struct object *o;

		str_fmt(id, sizeof id, "map_%05u", i);
		o = snapshot_find(s, id);
		assert_int_equal(o != NULL ? o->seq : 0, model[i]);
	}
	snapshot_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deltas_apply),
		cmocka_unit_test(deltas_that_do_not_fit),
		cmocka_unit_test(what_did_not_change_is_shared),
		cmocka_unit_test(pages),
		cmocka_unit_test(differences),
		cmocka_unit_test(many_random_deltas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
