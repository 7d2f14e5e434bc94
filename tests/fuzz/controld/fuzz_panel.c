/*
 * What panels answer: read by every list of every driver. What is taken from it is an object of a kind that the list brings,
 * with an id, and prints to JSON that reads back as the same; the counts add up.
 */
#include "controld/panel/panel.h"

#include "common/base/str.h"
#include "tests/fuzz/fuzz.h"

static void check_object(const struct panel_list *l, const struct panel_object *o)
{
	char *text = json_dumps(o->body, JSON_COMPACT);
	json_t *again;

	FUZZ_CHECK((l->kinds & BIT(o->kind)) != 0 && o->id > 0 && o->parent_id >= 0 && o->owner_id >= 0);
	FUZZ_CHECK(str_is_utf8(o->name, strlen(o->name)) && str_is_utf8(o->uuid, strlen(o->uuid)));
	FUZZ_CHECK(text != NULL && text[0] == '{' && text[1] != '}');
	again = json_loads(text, 0, NULL);
	FUZZ_CHECK(json_equal(again, o->body));
	json_decref(again);
	free(text);
}

static void try_list(const struct panel_list *l, const uint8_t *data, size_t size)
{
	struct panel_page page = { .n = 0 };

	if (panel_read(l, 5, data, size, &page, NULL) != 0) {
		FUZZ_CHECK(page.n == 0 && page.all == NULL);
		return;
	}
	FUZZ_CHECK(page.pages >= 0 && page.pages <= PANEL_PAGES_MAX && page.total >= 0);
	FUZZ_CHECK(page.n + page.failed >= page.listed);
	FUZZ_CHECK((page.failed == 0) == (page.failed_kinds == 0));
	for (size_t i = 0; i < page.n; i++)
		check_object(l, &page.all[i]);
	panel_page_fini(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t d = 0; d < panel_drivers_n; d++)
		for (size_t i = 0; i < panel_drivers[d]->n; i++)
			try_list(&panel_drivers[d]->lists[i], data, size);
	return 0;
}
