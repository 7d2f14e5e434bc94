#include "controld/fleet/line/model.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/fleet/line/model_snapshot.h"
#include "proto/update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t log_id[PROTO_LOG_ID_SIZE] = { 1, 2, 3 };

static struct model *model_make(uint64_t rev, uint64_t floor, size_t changes_max)
{
	struct model_conf c = { .rev = rev, .floor = floor, .changes_max = changes_max };
	struct model *m;

	memcpy(c.log_id, log_id, sizeof log_id);
	assert_int_equal(model_new(&m, &c, NULL), 0);
	return m;
}

static struct model_put placed(const char *id, const char *group, const char *node, uint64_t seq, const char *body)
{
	return (struct model_put){ OBJECT_MAPPING, id, group, node, false, seq, body, strlen(body), 0 };
}

static void load(struct model *m, const char *id, const char *group, const char *node, uint64_t seq, const char *body)
{
	const struct model_put p = placed(id, group, node, seq, body);

	assert_int_equal(model_load(m, &p, NULL), 0);
}

static void put(struct model *m, const char *id, const char *group, const char *node, uint64_t rev, const char *body)
{
	const struct model_put p = placed(id, group, node, rev, body);

	assert_int_equal(model_put(m, &p, rev, NULL), 0);
	model_advance(m, rev);
}

static void gone(struct model *m, const char *id, uint64_t rev)
{
	assert_int_equal(model_remove(m, id, rev, NULL), 0);
	model_advance(m, rev);
}

static int recall(struct model *m, const char *id, uint64_t rev)
{
	const struct model_put which = { .kind = OBJECT_MAPPING, .id = id };

	return model_recall(m, &which, rev, NULL);
}

static struct model_relay relay(const char *node, const char *group, uint64_t seq)
{
	struct model_relay r = { .node = node, .group = group, .have.seq = seq };

	memcpy(r.have.log_id, log_id, sizeof log_id);
	return r;
}

/* The entries as text: "+id=body" and "-id", blank-separated, in their order. */
static const char *print_entries(const uint8_t *entries, size_t size, uint32_t n)
{
	static char text[4096];
	struct msg_update head = { .kind = UPDATE_DELTA }, m;
	struct update_entry one;
	struct cursor it;
	struct buf b;
	size_t at, len = 0;

	buf_init(&b, PROTO_MSG_MAX);
	msg_update_begin(&b, &head, &at);
	buf_put(&b, entries, size);
	msg_update_end(&b, at, n);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	text[0] = '\0';
	it = m.entries;
	while (msg_update_next(&it, &one)) {
		assert_true(len < sizeof text - 200);
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s%s%.*s", len > 0 ? " " : "",
			one.gone ? "-" : "+", one.id, one.gone ? "" : "=", (int)one.body_n, (const char *)one.body);
	}
	buf_free(&b);
	return text;
}

static const char *delta(struct model *m, const struct model_relay *r, uint64_t *to)
{
	struct model_delta d;

	assert_int_equal(model_need(m, r), MODEL_DELTA);
	assert_int_equal(model_delta(m, r, &d), 0);
	*to = d.to;
	return print_entries(d.entries, d.size, d.n);
}

static void expect_delta(struct model *m, const char *node, const char *group, uint64_t have, const char *want)
{
	const struct model_relay r = relay(node, group, have);
	uint64_t to;

	assert_string_equal(delta(m, &r, &to), want);
	assert_int_equal(to, model_revision(m).seq);
}

static void expect_need(struct model *m, const char *node, const char *group, uint64_t have, enum model_need want)
{
	const struct model_relay r = relay(node, group, have);

	assert_int_equal(model_need(m, &r), want);
}

static const char *snapshot(struct model *m, const char *group, const char *node)
{
	struct model_snapshot *s = model_snapshot(m, group);
	const char *text;
	struct buf b;
	uint32_t n;

	buf_init(&b, PROTO_MSG_MAX);
	assert_int_equal(model_snapshot_page(s, node, 0, MODEL_PAGE_MAX, &b, &n), s->n);
	text = print_entries(b.data, b.len, n);
	buf_free(&b);
	model_snapshot_unref(s);
	return text;
}

/* ---- what a relay needs ------------------------------------------------------------------------------------------ */

static void test_need(void **state)
{
	struct model *m = model_make(100, 50, 16);
	struct model_relay foreign = relay("n1", "g", 100);
	struct model_relay moved = relay("n1", "g", 90);

	(void)state;
	assert_int_equal(model_group(m, "g", NULL), 0);
	load(m, "a", "g", "", 70, "A");
	expect_need(m, "n1", "g", 100, MODEL_NOTHING);
	expect_need(m, "n1", "g", 50, MODEL_NOTHING);
	expect_need(m, "n1", "g", 49, MODEL_SNAPSHOT);
	expect_need(m, "n1", "g", 101, MODEL_SNAPSHOT);
	expect_need(m, "n1", "unheard", 100, MODEL_NOTHING);
	expect_need(m, "n1", "unheard", 99, MODEL_SNAPSHOT);
	foreign.have.log_id[0] ^= 1;
	assert_int_equal(model_need(m, &foreign), MODEL_SNAPSHOT);
	moved.placed = 91;
	assert_int_equal(model_need(m, &moved), MODEL_SNAPSHOT);
	moved.have.seq = 91;
	assert_int_equal(model_need(m, &moved), MODEL_NOTHING);
	put(m, "b", "g", "", 101, "B");
	expect_need(m, "n1", "g", 100, MODEL_DELTA);
	expect_need(m, "n1", "g", 101, MODEL_NOTHING);
	model_advance(m, 150);
	expect_need(m, "n1", "g", 101, MODEL_NOTHING);
	model_free(m);
}

static void test_delta_says_the_newest_once(void **state)
{
	struct model *m = model_make(10, 10, 16);

	(void)state;
	put(m, "a", "g", "", 11, "A1");
	put(m, "b", "g", "", 12, "B1");
	put(m, "a", "g", "", 13, "A2");
	gone(m, "b", 14);
	put(m, "c", "g", "", 15, "C1");
	gone(m, "never", 16);
	expect_delta(m, "n", "g", 10, "+a=A2 -b +c=C1");
	expect_delta(m, "n", "g", 12, "+a=A2 -b +c=C1");
	expect_delta(m, "n", "g", 13, "-b +c=C1");
	expect_delta(m, "n", "g", 14, "+c=C1");
	assert_string_equal(snapshot(m, "g", "n"), "+a=A2 +c=C1");
	assert_int_equal(model_count(m), 2);
	model_free(m);
}

static void test_delta_is_encoded_once(void **state)
{
	struct model *m = model_make(10, 10, 16);
	const struct model_relay one = relay("n1", "g", 10), two = relay("n2", "g", 10);
	struct model_delta a, b;

	(void)state;
	put(m, "a", "g", "", 11, "A");
	put(m, "x", "g", "n3", 12, "X");
	assert_int_equal(model_delta(m, &one, &a), 0);
	assert_int_equal(model_delta(m, &two, &b), 0);
	assert_ptr_equal(a.entries, b.entries);
	model_free(m);
}

static void test_groups_are_apart(void **state)
{
	struct model *m = model_make(10, 10, 16);

	(void)state;
	put(m, "a", "g", "", 11, "A");
	put(m, "b", "h", "", 12, "B");
	expect_need(m, "n", "g", 11, MODEL_NOTHING);
	expect_delta(m, "n", "h", 11, "+b=B");
	put(m, "a", "h", "", 13, "A");
	expect_delta(m, "n", "g", 11, "-a");
	expect_delta(m, "n", "h", 12, "+a=A");
	put(m, "a", "g", "", 14, "A");
	expect_delta(m, "n", "g", 11, "+a=A");
	expect_delta(m, "n", "h", 12, "-a");
	assert_int_equal(model_group_count(m, "g"), 1);
	assert_int_equal(model_group_count(m, "h"), 1);
	model_free(m);
}

static void test_objects_of_one_node(void **state)
{
	struct model *m = model_make(10, 10, 16);

	(void)state;
	put(m, "a", "g", "n1", 11, "A");
	expect_delta(m, "n1", "g", 10, "+a=A");
	expect_need(m, "n2", "g", 10, MODEL_NOTHING);
	put(m, "a", "g", "n2", 12, "A");
	expect_delta(m, "n1", "g", 11, "-a");
	expect_delta(m, "n2", "g", 11, "+a=A");
	put(m, "a", "g", "", 13, "A");
	expect_delta(m, "n1", "g", 12, "+a=A");
	expect_delta(m, "n2", "g", 12, "+a=A");
	expect_delta(m, "n3", "g", 12, "+a=A");
	put(m, "a", "g", "n1", 14, "A");
	expect_delta(m, "n1", "g", 13, "+a=A");
	expect_delta(m, "n3", "g", 13, "-a");
	assert_string_equal(snapshot(m, "g", "n1"), "+a=A");
	assert_string_equal(snapshot(m, "g", "n3"), "");
	gone(m, "a", 15);
	expect_delta(m, "n1", "g", 14, "-a");
	expect_need(m, "n3", "g", 14, MODEL_NOTHING);
	model_free(m);
}

static void test_list_is_bounded(void **state)
{
	struct model *m = model_make(10, 10, 4);

	(void)state;
	for (uint64_t rev = 11; rev <= 20; rev++)
		put(m, rev % 2 ? "odd" : "even", "g", "", rev, "x");
	expect_need(m, "n", "g", 15, MODEL_SNAPSHOT);
	expect_delta(m, "n", "g", 16, "+odd=x +even=x");
	expect_delta(m, "n", "g", 19, "+even=x");
	model_free(m);
}

/* After a restart the log is read back a little way: what changed there is known, where it was before is not. */
static void test_recall(void **state)
{
	struct model *m = model_make(100, 50, 16);

	(void)state;
	assert_int_equal(model_group(m, "g", NULL), 0);
	assert_int_equal(model_group(m, "h", NULL), 0);
	load(m, "a", "g", "", 60, "A");
	load(m, "p", "g", "n1", 80, "P");
	assert_int_equal(recall(m, "a", 60), 0);
	assert_int_equal(recall(m, "deleted", 70), 0);
	assert_int_equal(recall(m, "p", 80), 0);
	expect_delta(m, "n2", "g", 50, "+a=A -deleted -p");
	expect_delta(m, "n1", "g", 50, "+a=A -deleted +p=P");
	expect_delta(m, "n1", "g", 60, "-deleted +p=P");
	expect_delta(m, "n1", "h", 65, "-deleted -p");
	expect_need(m, "n1", "g", 80, MODEL_NOTHING);
	model_free(m);
}

/* ---- what stands in several groups ------------------------------------------------------------------------------- */

static void spread(struct model *m, const char *id, const char *groups, uint64_t rev, const char *body)
{
	const struct model_put p = { OBJECT_CLIENT, id, "", "", true, rev, body, strlen(body), 0 };
	static const char *const all[] = { "g", "h", "i" };
	const char *list[ARRAY_LEN(all)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (strstr(groups, all[i]) != NULL)
			list[n++] = all[i];
	assert_int_equal(model_spread(m, &p, list, n, rev, NULL), 0);
	model_advance(m, rev);
}

static void test_spread(void **state)
{
	struct model *m = model_make(10, 10, 16);

	(void)state;
	spread(m, "7", "gh", 11, "A");
	expect_delta(m, "n", "g", 10, "+7=A");
	expect_delta(m, "n", "h", 10, "+7=A");
	expect_need(m, "n", "i", 10, MODEL_NOTHING);
	spread(m, "7", "hi", 12, "A");
	expect_delta(m, "n", "g", 11, "-7");
	expect_need(m, "n", "h", 11, MODEL_NOTHING); /* it is what it was */
	expect_delta(m, "n", "i", 10, "+7=A");
	assert_string_equal(snapshot(m, "i", "n"), "+7=A");
	assert_string_equal(snapshot(m, "g", "n"), "");
	spread(m, "7", "hi", 13, "B");
	expect_delta(m, "n", "h", 11, "+7=B");
	expect_delta(m, "n", "i", 12, "+7=B");
	assert_int_equal(model_count(m), 2);
	spread(m, "7", "", 14, "");
	expect_delta(m, "n", "h", 13, "-7");
	expect_delta(m, "n", "i", 13, "-7");
	expect_need(m, "n", "g", 12, MODEL_NOTHING);
	assert_int_equal(model_count(m), 0);
	model_free(m);
}

static void test_spread_is_recalled(void **state)
{
	const struct model_put c = { OBJECT_CLIENT, "7", "g", "", true, 60, "A", 1, 0 };
	const struct model_put gone = { .kind = OBJECT_CLIENT, .id = "8", .spread = true };
	struct model *m = model_make(100, 50, 16);

	(void)state;
	assert_int_equal(model_group(m, "g", NULL), 0);
	assert_int_equal(model_group(m, "h", NULL), 0);
	assert_int_equal(model_load(m, &c, NULL), 0);
	assert_int_equal(model_recall(m, &c, 60, NULL), 0);
	assert_int_equal(model_recall(m, &gone, 70, NULL), 0);
	expect_delta(m, "n", "g", 50, "+7=A -8");
	expect_delta(m, "n", "h", 50, "-7 -8");
	model_free(m);
}

static void test_what_the_model_has(void **state)
{
	struct model *m = model_make(10, 10, 16);
	struct model_put p = placed("a", "g", "", 11, "A");

	(void)state;
	assert_false(model_has(m, &p, 0));
	put(m, "a", "g", "", 11, "A");
	assert_true(model_has(m, &p, 0));
	p.seq = 99;
	assert_true(model_has(m, &p, 11));
	assert_false(model_has(m, &p, 12));
	p.node = "n1";
	assert_false(model_has(m, &p, 0));
	p = placed("a", "h", "", 11, "A");
	assert_false(model_has(m, &p, 0));
	p = placed("a", "g", "", 11, "B");
	assert_false(model_has(m, &p, 0));
	model_free(m);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static char *big_body(size_t n)
{
	char *body = malloc(n + 1);

	memset(body, 'x', n);
	body[n] = '\0';
	return body;
}

static void test_long_delta_ends_between_revisions(void **state)
{
	struct model *m = model_make(10, 10, 64);
	struct model_relay r = relay("n", "g", 10);
	char *body = big_body(400000);
	struct model_delta d;

	(void)state;
	put(m, "a", "g", "", 11, body);
	put(m, "b", "g", "", 12, body);
	put(m, "c", "g", "", 13, body);
	put(m, "a", "g", "", 14, body);
	assert_int_equal(model_delta(m, &r, &d), 0);
	assert_int_equal(d.to, 13); /* a is left out: it comes as of 14 */
	assert_int_equal(d.n, 2);
	assert_true(d.size <= MODEL_PAGE_MAX);
	r.have.seq = d.to;
	assert_int_equal(model_delta(m, &r, &d), 0);
	assert_int_equal(d.to, 14);
	assert_int_equal(d.n, 1);
	free(body);
	model_free(m);
}

static void test_long_transaction_needs_a_snapshot(void **state)
{
	struct model *m = model_make(10, 10, 64);
	const struct model_relay r = relay("n", "g", 10);
	char *body = big_body(400000);
	struct model_delta d;

	(void)state;
	for (int i = 0; i < 3; i++) {
		char id[] = { (char)('a' + i), '\0' };
		const struct model_put p = placed(id, "g", "", 11, body);

		assert_int_equal(model_put(m, &p, 11, NULL), 0);
	}
	model_advance(m, 11);
	assert_int_equal(model_need(m, &r), MODEL_DELTA);
	assert_int_equal(model_delta(m, &r, &d), -1);
	free(body);
	model_free(m);
}

static void test_object_too_large_for_a_message(void **state)
{
	struct model *m = model_make(10, 10, 64);
	char *body = big_body(MODEL_PAGE_MAX);
	const struct model_put p = placed("a", "g", "", 11, body);
	struct err e;

	(void)state;
	assert_int_equal(model_put(m, &p, 11, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	assert_int_equal(model_count(m), 0);
	free(body);
	model_free(m);
}

static void test_snapshot_pages(void **state)
{
	struct model *m = model_make(10, 10, 64);
	struct model_snapshot *s, *again;
	size_t at = 0, pages = 0;
	uint32_t n, total = 0;
	struct buf b;
	char id[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		str_fmt(id, sizeof id, "m%u", i);
		load(m, id, "g", i % 10 == 0 ? "other" : "", 5, "0123456789");
	}
	s = model_snapshot(m, "g");
	again = model_snapshot(m, "g");
	assert_ptr_equal(s, again);
	model_snapshot_unref(again);
	gone(m, "m1", 11); /* the snapshot stays as it was taken */
	buf_init(&b, PROTO_MSG_MAX);
	while (at < s->n) {
		buf_reset(&b);
		at = model_snapshot_page(s, "n", at, 500, &b, &n);
		assert_true(b.len <= 500);
		total += n;
		pages++;
	}
	assert_int_equal(total, 90);
	assert_true(pages > 3);
	buf_free(&b);
	model_snapshot_unref(s);
	model_free(m);
}

/* A relay that follows by deltas ends where a snapshot would bring it, whatever happened. */
struct follower {
	const char *node;
	uint64_t have;
	const char *has[26];
};

static void follow(struct model *m, struct follower *f)
{
	const struct model_relay r = relay(f->node, "g", f->have);
	struct model_delta d;
	char *text, *save, *word;

	if (model_need(m, &r) == MODEL_NOTHING)
		return;
	assert_int_equal(model_delta(m, &r, &d), 0);
	text = strdup(print_entries(d.entries, d.size, d.n));
	for (word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		f->has[word[1] - 'a'] = word[0] == '+' ? "" : NULL;
	free(text);
	f->have = d.to;
}

static void test_followers_agree_with_snapshots(void **state)
{
	static const char *const nodes[] = { "", "n1", "n2" };
	struct model *m = model_make(10, 10, 4096);
	struct follower f[] = { { .node = "n1", .have = 10 }, { .node = "n2", .have = 10 } };
	unsigned seed = 7;

	(void)state;
	for (uint64_t rev = 11; rev < 1000; rev++) {
		char id[] = { (char)('a' + rand_r(&seed) % 26), '\0' };

		if (rand_r(&seed) % 3 == 0)
			gone(m, id, rev);
		else
			put(m, id, rand_r(&seed) % 4 ? "g" : "h", nodes[rand_r(&seed) % 3], rev, "x");
		if (rand_r(&seed) % 3 == 0)
			follow(m, &f[rand_r(&seed) % 2]);
	}
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		const char *all;

		follow(m, &f[i]);
		all = snapshot(m, "g", f[i].node);
		for (int c = 0; c < 26; c++) {
			char word[] = { '+', (char)('a' + c), '=', '\0' };

			assert_int_equal(f[i].has[c] != NULL, strstr(all, word) != NULL);
		}
	}
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_delta_says_the_newest_once),
		cmocka_unit_test(test_delta_is_encoded_once),
		cmocka_unit_test(test_groups_are_apart),
		cmocka_unit_test(test_objects_of_one_node),
		cmocka_unit_test(test_list_is_bounded),
		cmocka_unit_test(test_recall),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_spread_is_recalled),
		cmocka_unit_test(test_what_the_model_has),
		cmocka_unit_test(test_long_delta_ends_between_revisions),
		cmocka_unit_test(test_long_transaction_needs_a_snapshot),
		cmocka_unit_test(test_object_too_large_for_a_message),
		cmocka_unit_test(test_snapshot_pages),
		cmocka_unit_test(test_followers_agree_with_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
