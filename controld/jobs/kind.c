#include "controld/jobs/kind.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const queue_names[JOB_QUEUES] = { "critical", "default", "low" };

const char *job_queue_name(enum job_queue q)
{
	return queue_names[q];
}

int job_queue_parse(const char *s, enum job_queue *out)
{
	for (int q = 0; q < JOB_QUEUES; q++)
		if (str_eq(s, queue_names[q])) {
			*out = (enum job_queue)q;
			return 0;
		}
	return -1;
}

/* What is secret is sealed as a whole: it stands at the top (job_secret.h). */
static bool secrets_at_top(const struct schema *s)
{
	for (size_t i = 0; s != NULL && i < s->n; i++)
		for (size_t k = 0; s->fields[i].sub != NULL && k < s->fields[i].sub->n; k++)
			if ((s->fields[i].flags & SCHEMA_SECRET) == 0 &&
				(s->fields[i].sub->fields[k].flags & SCHEMA_SECRET) != 0)
				return false;
	return true;
}

void kinds_add(struct kinds *k, struct job_kinds table)
{
	assert(k->n < KIND_TABLES_MAX);
	for (size_t i = 0; i < table.n; i++)
		assert(kinds_find(k, table.rows[i].name, NULL) == NULL && table.rows[i].attempts > 0 &&
			secrets_at_top(table.rows[i].args));
	k->tables[k->n++] = table;
}

const struct job_kind *kinds_find(const struct kinds *k, const char *name, void **feature)
{
	for (size_t t = 0; t < k->n; t++)
		for (size_t i = 0; i < k->tables[t].n; i++)
			if (str_eq(k->tables[t].rows[i].name, name)) {
				if (feature != NULL)
					*feature = k->tables[t].feature;
				return &k->tables[t].rows[i];
			}
	return NULL;
}

void kind_check(const struct job_kind *k, const json_t *args, struct err_list *errs)
{
	static const struct schema nothing = { NULL, NULL, 0, false };

	schema_check(k->args != NULL ? k->args : &nothing, args, false, errs);
}

json_t *kind_shown_args(const struct job_kind *k, const json_t *args)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)args);

	if (copy == NULL || k->args == NULL)
		return copy;
	for (size_t i = 0; i < k->args->n; i++) {
		const struct schema_field *f = &k->args->fields[i];

		if ((f->flags & SCHEMA_SECRET) != 0 && json_object_get(copy, f->name) != NULL)
			(void)json_object_set_new(copy, f->name, json_string("***"));
	}
	return copy;
}

void kind_print_args(struct buf *b, const struct job_kind *k, const char *args)
{
	json_t *all = k != NULL ? json_loads(args, 0, NULL) : NULL;
	json_t *shown = all != NULL ? kind_shown_args(k, all) : NULL;
	char *text = shown != NULL ? json_dumps(shown, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	if (text != NULL)
		jsonw_raw(b, "args", text, strlen(text));
	else
		jsonw_null(b, "args");
	free(text);
	json_decref(shown);
	json_decref(all);
}
