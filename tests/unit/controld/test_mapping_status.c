/* mapping_status: what follows from the nodes' words, and who is woken by them. park_wake() is a counter here. */
#include "controld/tunnels/mapping_status.h"

#include "common/base/str.h"
#include "controld/rest/park.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static atomic_uint wakes;
static char last_key[64]; /* read by single-threaded tests only */
static atomic_bool keep_key;

void park_wake(struct parks *p, const char *key)
{
	(void)p;
	if (atomic_load(&keep_key))
		str_copy(last_key, sizeof last_key, key);
	atomic_fetch_add(&wakes, 1);
}

struct word {
	const char *node, *group;
	bool online;
	int64_t seq;
	const char *refuses; /* mapping id, or NULL */
	int64_t refused_seq;
};

static void say(struct mapping_statuses *s, const struct word *w)
{
	const struct mapping_refusal r = { w->refuses, w->refused_seq, ERR_ADDR_IN_USE,
		"address already in use: 0.0.0.0:80" };

	mapping_statuses_node(s, w->node, w->node, w->group, w->online, w->seq, &r, w->refuses != NULL);
}

static struct mapping_statuses *begin(void)
{
	struct mapping_statuses *s;
	struct err e;

	assert_int_equal(mapping_statuses_new(&s, NULL, &e), 0);
	atomic_store(&wakes, 0);
	atomic_store(&keep_key, true);
	last_key[0] = '\0';
	return s;
}

/* Mapping "m", newest change 10, on group "g". */
static void overall(void **state)
{
	static const struct {
		const char *what, *node;
		struct word words[3];
		enum mapping_overall want;
		const char *refused_by;
	} cases[] = {
		{ "no node", "", { { 0 } }, MAPPING_STATUS_PENDING, NULL },
		{ "one has it", "", { { "a", "g", true, 10, NULL, 0 } }, MAPPING_STATUS_ACTIVE, NULL },
		{ "one is behind", "", { { "a", "g", true, 9, NULL, 0 } }, MAPPING_STATUS_PENDING, NULL },
		{ "one of two has it", "", { { "a", "g", true, 9, NULL, 0 }, { "b", "g", true, 11, NULL, 0 } },
			MAPPING_STATUS_ACTIVE, NULL },
		{ "an offline one does not decide", "", { { "a", "g", false, 10, NULL, 0 } }, MAPPING_STATUS_PENDING,
			NULL },
		{ "one refuses", "", { { "a", "g", true, 10, "m", 10 }, { "b", "g", true, 10, NULL, 0 } },
			MAPPING_STATUS_ERROR, "a" },
		{ "refused before all of it was applied", "", { { "a", "g", true, 8, "m", 10 } }, MAPPING_STATUS_ERROR,
			"a" },
		{ "an old version was refused", "", { { "a", "g", true, 9, "m", 9 } }, MAPPING_STATUS_PENDING, NULL },
		{ "an offline one refuses", "", { { "a", "g", false, 10, "m", 10 }, { "b", "g", true, 10, NULL, 0 } },
			MAPPING_STATUS_ACTIVE, NULL },
		{ "another mapping is refused", "", { { "a", "g", true, 10, "n", 10 } }, MAPPING_STATUS_ACTIVE, NULL },
		{ "a node of another group", "", { { "a", "h", true, 10, NULL, 0 } }, MAPPING_STATUS_PENDING, NULL },
		{ "another group refuses", "", { { "a", "h", true, 10, "m", 10 }, { "b", "g", true, 10, NULL, 0 } },
			MAPPING_STATUS_ACTIVE, NULL },
		{ "placed on one node that has it", "b",
			{ { "a", "g", true, 10, "m", 10 }, { "b", "g", true, 10, NULL, 0 } }, MAPPING_STATUS_ACTIVE,
			NULL },
		{ "placed on one node that has it not", "b",
			{ { "a", "g", true, 10, NULL, 0 }, { "b", "g", true, 9, NULL, 0 } }, MAPPING_STATUS_PENDING,
			NULL },
		{ "moved to another group", "", { { "a", "g", true, 10, "m", 10 }, { "a", "h", true, 10, NULL, 0 } },
			MAPPING_STATUS_PENDING, NULL },
		{ "refusal withdrawn", "", { { "a", "g", true, 10, "m", 10 }, { "a", "g", true, 10, NULL, 0 } },
			MAPPING_STATUS_ACTIVE, NULL },
		{ "fell back", "", { { "a", "g", true, 12, NULL, 0 }, { "a", "g", true, 3, NULL, 0 } },
			MAPPING_STATUS_PENDING, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mapping_statuses *s = begin();
		json_t *error;

		print_message("%s\n", cases[i].what);
		for (size_t k = 0; k < 3 && cases[i].words[k].node != NULL; k++)
			say(s, &cases[i].words[k]);
		assert_int_equal(mapping_statuses_get(s, "m", "g", cases[i].node, 10, &error), cases[i].want);
		assert_int_equal(error != NULL, cases[i].refused_by != NULL);
		if (cases[i].refused_by != NULL) {
			const json_t *why = json_object_get(error, cases[i].refused_by);

			assert_string_equal(json_string_value(json_object_get(why, "code")), "ADDRESS_IN_USE");
			assert_non_null(strstr(json_string_value(json_object_get(why, "message")), "0.0.0.0:80"));
		}
		json_decref(error);
		mapping_statuses_free(s);
	}
}

static void node_gone(void **state)
{
	struct mapping_statuses *s = begin();

	(void)state;
	say(s, &(struct word){ "a", "g", true, 10, "m", 10 });
	say(s, &(struct word){ "b", "g", true, 9, NULL, 0 });
	mapping_statuses_node_gone(s, "a");
	mapping_statuses_node_gone(s, "a");
	assert_int_equal(mapping_statuses_get(s, "m", "g", "", 10, NULL), MAPPING_STATUS_PENDING);
	assert_int_equal(mapping_statuses_get(s, "m", "g", "", 9, NULL), MAPPING_STATUS_ACTIVE);
	mapping_statuses_free(s);
}

static struct mapping_watch *watch(struct mapping_statuses *s, const char *mapping, const char *node, int64_t seq)
{
	const struct mapping_version v = { mapping, "g", node, seq };
	struct mapping_watch *w;
	struct err e;

	assert_int_equal(mapping_watch_new(&w, s, &v, &e), 0);
	return w;
}

static void watch_settles_when_all_have_it(void **state)
{
	struct mapping_statuses *s = begin();
	struct mapping_watch *w, *other;

	(void)state;
	say(s, &(struct word){ "a", "g", true, 5, NULL, 0 });
	say(s, &(struct word){ "b", "g", true, 5, NULL, 0 });
	say(s, &(struct word){ "off", "g", false, 5, NULL, 0 });
	w = watch(s, "m", "", 10);
	other = watch(s, "n", "", 20);
	assert_false(mapping_watch_settled(w));
	say(s, &(struct word){ "a", "g", true, 10, NULL, 0 });
	say(s, &(struct word){ "a", "g", true, 11, NULL, 0 }); /* the same node counts once */
	assert_false(mapping_watch_settled(w));
	assert_int_equal(atomic_load(&wakes), 0);
	say(s, &(struct word){ "b", "g", true, 10, NULL, 0 });
	assert_true(mapping_watch_settled(w));
	assert_false(mapping_watch_settled(other));
	assert_int_equal(atomic_load(&wakes), 1);
	assert_string_equal(last_key, "mapping:m");
	say(s, &(struct word){ "a", "g", true, 12, NULL, 0 });
	assert_int_equal(atomic_load(&wakes), 1);
	mapping_watch_free(w);
	mapping_watch_free(other);
	mapping_watch_free(NULL);
	mapping_statuses_free(s);
}

/* What ends the wait besides everybody's word. */
static void watch_settles_otherwise(void **state)
{
	static const struct {
		const char *what, *node;
		struct word word; /* node NULL: "b" is gone */
		bool want;
	} cases[] = {
		{ "a refusal", "", { "a", "g", true, 10, "m", 10 }, true },
		{ "a refusal of another mapping", "", { "a", "g", true, 10, "n", 10 }, false },
		{ "a refusal of the version before", "", { "a", "g", true, 9, "m", 9 }, false },
		{ "the one that is missing goes offline", "", { "b", "g", false, 5, NULL, 0 }, true },
		{ "the one that is missing goes", "", { NULL, NULL, false, 0, NULL, 0 }, true },
		{ "the one that is missing moves away", "", { "b", "h", true, 5, NULL, 0 }, true },
		{ "placed on one node, which has it", "b", { "b", "g", true, 10, NULL, 0 }, true },
		{ "placed on one node, another has it", "b", { "a", "g", true, 11, NULL, 0 }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mapping_statuses *s = begin();
		struct mapping_watch *w;

		print_message("%s\n", cases[i].what);
		say(s, &(struct word){ "a", "g", true, strstr(cases[i].what, "missing") ? 10 : 5, NULL, 0 });
		say(s, &(struct word){ "b", "g", true, 5, NULL, 0 });
		w = watch(s, "m", cases[i].node, 10);
		if (cases[i].word.node == NULL)
			mapping_statuses_node_gone(s, "b");
		else
			say(s, &cases[i].word);
		assert_int_equal(mapping_watch_settled(w), cases[i].want);
		assert_int_equal(atomic_load(&wakes), cases[i].want);
		mapping_watch_free(w);
		mapping_statuses_free(s);
	}
}

static void watch_that_need_not_wait(void **state)
{
	struct mapping_statuses *s = begin();
	struct mapping_watch *w = watch(s, "m", "", 10);

	(void)state;
	assert_true(mapping_watch_settled(w)); /* nobody could answer */
	mapping_watch_free(w);
	say(s, &(struct word){ "a", "g", true, 10, NULL, 0 });
	w = watch(s, "m", "", 10);
	assert_true(mapping_watch_settled(w));
	mapping_watch_free(w);
	assert_int_equal(atomic_load(&wakes), 0);
	w = watch(s, "m", "", 11);
	say(s, &(struct word){ "late", "g", true, 3, NULL, 0 }); /* comes online while somebody waits */
	say(s, &(struct word){ "a", "g", true, 11, NULL, 0 });
	assert_false(mapping_watch_settled(w));
	say(s, &(struct word){ "late", "g", true, 11, NULL, 0 });
	assert_true(mapping_watch_settled(w));
	mapping_watch_free(w);
	mapping_statuses_free(s);
}

/* More watches settle at once than are woken in one go. */
static void many_watches(void **state)
{
	struct mapping_statuses *s = begin();
	struct mapping_watch *w[200];

	(void)state;
	say(s, &(struct word){ "a", "g", true, 1, NULL, 0 });
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		char id[32];

		str_fmt(id, sizeof id, "m%zu", i);
		w[i] = watch(s, id, "", 2);
	}
	say(s, &(struct word){ "a", "g", true, 2, NULL, 0 });
	assert_int_equal(atomic_load(&wakes), ARRAY_LEN(w));
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		assert_true(mapping_watch_settled(w[i]));
		mapping_watch_free(w[i]);
	}
	mapping_statuses_free(s);
}

/* ---- several threads ---------------------------------------------------------------------------------------------- */
#define ROUNDS 400

static void *work_say(void *arg)
{
	struct mapping_statuses *s = arg;
	static atomic_uint numbers;
	char name[16];

	str_fmt(name, sizeof name, "node-%u", atomic_fetch_add(&numbers, 1));
	for (int64_t seq = 1; seq <= ROUNDS; seq++)
		say(s, &(struct word){ name, "g", true, seq, seq % 7 == 0 ? "m" : NULL, seq });
	return NULL;
}

static void *work_watch(void *arg)
{
	struct mapping_statuses *s = arg;

	for (int64_t seq = 1; seq <= ROUNDS; seq++) {
		const struct mapping_version v = { "m", "g", "", seq };
		struct mapping_watch *w;
		json_t *error;
		struct err e;

		if (mapping_watch_new(&w, s, &v, &e) != 0)
			return (void *)"out of memory";
		(void)mapping_watch_settled(w);
		(void)mapping_statuses_get(s, "m", "g", "", seq, &error);
		json_decref(error);
		mapping_watch_free(w);
	}
	return NULL;
}

static void threads(void **state)
{
	struct mapping_statuses *s = begin();
	pthread_t t[6];
	void *wrong;

	(void)state;
	atomic_store(&keep_key, false);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, i % 2 == 0 ? work_say : work_watch, s), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		pthread_join(t[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(mapping_statuses_get(s, "other", "g", "", ROUNDS, NULL), MAPPING_STATUS_ACTIVE);
	mapping_statuses_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overall),
		cmocka_unit_test(node_gone),
		cmocka_unit_test(watch_settles_when_all_have_it),
		cmocka_unit_test(watch_settles_otherwise),
		cmocka_unit_test(watch_that_need_not_wait),
		cmocka_unit_test(many_watches),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
