#include "controld/erase_job.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/eraser.h"
#include "controld/jobs/job_run.h"
#include "controld/jobs/jobs.h"
#include "controld/store/erasure.h"

#include <limits.h>

#define OWNERS_MAX 50   /* of each kind, looked at in one go */
#define AGAIN_MS   5000 /* a tenant waits for its users, which have jobs of their own */

/* ---- starting ---------------------------------------------------------------------------------------------------- */

struct owners {
	struct owner {
		bool tenant;
		char id[RAND_ID_SIZE];
		int64_t since_ms;
	} all[2 * OWNERS_MAX];
	size_t n;
};

static int on_leaving(bool tenant, const char *id, int64_t since_ms, void *arg)
{
	struct owners *o = arg;

	if (o->n == ARRAY_LEN(o->all))
		return 1;
	o->all[o->n].tenant = tenant;
	o->all[o->n].since_ms = since_ms;
	(void)str_copy(o->all[o->n++].id, sizeof o->all[0].id, id);
	return 0;
}

static int start_one(struct jobs *jobs, const struct owner *o, struct err *e)
{
	json_t *args = json_pack("{s:s, s:s, s:I}", "owner", o->tenant ? "tenant" : "user", "id", o->id, "since_ms",
		(json_int_t)o->since_ms);
	const struct job_order order = { .kind = "erase", .args = args };
	struct job_placed placed = { .there = false };
	int rc;

	if (args == NULL)
		return err_set(e, ERR_NOMEM, NULL, "erase: out of memory");
	rc = jobs_enqueue(jobs, &order, &placed, e);
	json_decref(args);
	return rc;
}

int erase_job_start(struct jobs *jobs, struct store *store, struct err *e)
{
	struct owners owners = { .n = 0 };

	if (eraser_leaving(store, OWNERS_MAX, on_leaving, &owners, e) != 0)
		return -1;
	for (size_t i = 0; i < owners.n; i++)
		if (start_one(jobs, &owners.all[i], e) != 0)
			return -1;
	return 0;
}

/* ---- doing ------------------------------------------------------------------------------------------------------- */

struct looking {
	const struct erase_owner *owner;
	bool there;
};

static int on_still_leaving(bool tenant, const char *id, int64_t since_ms, void *arg)
{
	struct looking *l = arg;

	(void)since_ms;
	l->there = tenant == l->owner->tenant && str_eq(id, l->owner->id);
	return l->there;
}

static bool on_stop_asked(void *arg)
{
	return job_run_stop(arg);
}

static int run_erase(void *feature, struct job_run *r, struct err *e)
{
	const json_t *args = job_run_args(r);
	const int64_t now_ms = clock_wall_ms();
	const int64_t ripe_ms = json_integer_value(json_object_get(args, "since_ms")) + ERASER_RIPE_MS;
	const struct erase_owner o = { str_eq(json_string_value(json_object_get(args, "owner")), "tenant"),
		json_string_value(json_object_get(args, "id")), now_ms, now_ms >= ripe_ms };
	const struct eraser_stop stop = { on_stop_asked, r };
	struct looking l = { &o, false };

	if (eraser_erase(feature, &o, &stop, e) != 0 || eraser_leaving(feature, INT_MAX, on_still_leaving, &l, e) != 0)
		return -1;
	if (l.there)
		job_run_again_in(r, o.ripe ? AGAIN_MS : (uint64_t)(ripe_ms - now_ms));
	return job_run_ended(r, e);
}

static const char *const owner_choices[] = { "user", "tenant", NULL };
static const struct schema_field fields[] = {
	{ .name = "owner", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .choices = owner_choices },
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = 64 },
	{ .name = "since_ms", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .help = "when it was deleted" },
};
static const struct schema args_schema = { "JobErase", fields, ARRAY_LEN(fields), false };

const struct job_kind erase_job_kinds[] = {
	{ "erase", JOB_LOW, 1000, 0, 1000, 60000, JOB_UNIQUE, PERM_PUBLIC, &args_schema, run_erase,
		"Erases what a deleted user or tenant leaves behind, batch by batch" },
};
const size_t erase_job_kinds_n = ARRAY_LEN(erase_job_kinds);
