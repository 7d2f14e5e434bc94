/*
 * Meters of relays' boots, and the reports that bring their values. Reports of many relays are stored in one transaction and
 * in few round trips: all claims, all meters that are known, all that are new, all saves.
 */
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/traffic.h"
#include "controld/tunnels/traffic_boots.h"
#include "controld/tunnels/tunnels.h"

#include <stdlib.h>
#include <string.h>

/* Who owns a meter was found when it was new; which client serves the mapping may change. */
#define METERS                                                                                                      \
	"SELECT m.mapping_id, m.tenant_id, m.user_id, m.counters, coalesce(t.client_id, 0), coalesce(t.source_id, " \
	"0), "                                                                                                      \
	"m.slot FROM meters m LEFT "                                                                                \
	"JOIN traffic t ON t.scope = 'mapping' AND t.id = m.mapping_id AND t.tenant_id = m.tenant_id "
/* A report's meters are saved by so many at once, for as long as there are; a row of SQL_SAVE_8 has what differs. */
#define SAVE_MANY 8
#define SAVE_(slot, mapping, tenant, user, counters) \
	"(?1, ?2, " slot ", " mapping ", " tenant ", " user ", " counters ")"
#define SAVE_INTO    "INSERT INTO meters (node_id, boot, slot, mapping_id, tenant_id, user_id, counters) VALUES "
#define SAVE_REPLACE " ON CONFLICT (node_id, boot, slot) DO UPDATE SET counters = excluded.counters"
/* Slots of one report that lie closer together than this are read at once, with those in between. */
#define RUN_GAP 16

enum { SQL_COUNT, SQL_FIND, SQL_OWNER, SQL_SAVE, SQL_SAVE_8, SQL_LEFT, SQL_DROP };
static const char *const sql[] = {
	[SQL_COUNT] = "SELECT count(*) FROM meters WHERE node_id = ?1",
	[SQL_FIND] = METERS "WHERE m.node_id = ?1 AND m.boot = ?2 AND m.slot BETWEEN ?3 AND ?4 ORDER BY m.slot",
	[SQL_OWNER] = "SELECT t.tenant_id, t.user_id, t.client_id, t.source_id FROM traffic t WHERE t.scope = "
		      "'mapping' AND t.id = ?1 "
		      "AND " PLACEMENT_REACHES("t.id", "?2"),
	[SQL_SAVE] = SAVE_INTO SAVE_("?3", "?4", "?5", "?6", "?7") SAVE_REPLACE,
	[SQL_SAVE_8] = SAVE_INTO SAVE_("?3", "?4", "?5", "?6", "?7") ", " SAVE_("?8", "?9", "?10", "?11",
		"?12") ", " SAVE_("?13", "?14", "?15", "?16", "?17") ", " SAVE_("?18", "?19", "?20", "?21",
		"?22") ", " SAVE_("?23", "?24", "?25", "?26", "?27") ", " SAVE_("?28", "?29", "?30", "?31",
		"?32") ", " SAVE_("?33", "?34", "?35", "?36", "?37") ", " SAVE_("?38", "?39", "?40", "?41", "?42")
		SAVE_REPLACE,
	[SQL_LEFT] = METERS "WHERE m.node_id = ?1 AND m.boot = ?2",
	[SQL_DROP] = "DELETE FROM meters WHERE node_id = ?1 AND boot = ?2",
};
const struct sql_table traffic_meters_sql = { "traffic_meters", sql, ARRAY_LEN(sql) };

/* ---- the meters of some reports ----------------------------------------------------------------------------------- */

struct meter {
	struct traffic_report *report;
	uint32_t at; /* in the report */
	bool known, changed;
	struct meter_row row;
	struct traffic_owner owner;
	uint64_t kept[METER_COUNTERS_N];
};

/* Slots of one report that are read at once. */
struct run {
	size_t first, n;
};

/* Reports of different boots, stored together. Their meters are sorted by report and slot. */
struct wave {
	struct db *tx;
	struct traffic_sums *sums;
	struct meter *meters;
	size_t n;
	const char *counted; /* a node whose meters are counted, once the first new one came */
	int64_t count;
};

/* As the database has it: the order of both must be one, whatever a relay sends. */
static int64_t slot_of(const struct meter *m)
{
	return (int64_t)m->row.slot;
}

static int compare_meters(const void *a, const void *b)
{
	const struct meter *x = a, *y = b;

	if (slot_of(x) != slot_of(y))
		return slot_of(x) > slot_of(y) ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

static int wave_gather(struct wave *w, struct traffic_report *all, size_t n, struct err *e)
{
	size_t rows = 1;

	for (size_t i = 0; i < n; i++)
		rows += all[i].m->n_rows;
	if ((w->meters = calloc(rows, sizeof *w->meters)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "reports: out of memory");
	for (size_t i = 0; i < n; i++) {
		struct cursor it = all[i].m->rows;
		const size_t first = w->n;

		if (!all[i].stored || traffic_is_heartbeat(&all[i]))
			continue;
		while (w->n + 1 < rows && msg_report_next(&it, &w->meters[w->n].row)) {
			w->meters[w->n].report = &all[i];
			w->meters[w->n].at = (uint32_t)w->n;
			w->n++;
		}
		qsort(w->meters + first, w->n - first, sizeof *w->meters, compare_meters);
	}
	return 0;
}

static bool goes_on(const struct meter *one, const struct meter *next)
{
	return next->report == one->report && next->row.slot - one->row.slot <= RUN_GAP;
}

static size_t find_runs(const struct wave *w, struct run *runs)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (i == 0 || !goes_on(&w->meters[i - 1], &w->meters[i]))
			runs[n++].first = i;
		runs[n - 1].n++;
	}
	return n;
}

static void load_client(char id[PROTO_ID_SIZE], int64_t client_id)
{
	id[0] = '\0';
	if (client_id != 0)
		client_id_print(id, client_id);
}

/* The source stands behind the client. */
static void load_owner(struct traffic_owner *o, struct query *q, int col, int client_col)
{
	const char *tenant = query_text(q, col), *user = query_text(q, col + 1);

	str_copy(o->tenant_id, sizeof o->tenant_id, tenant != NULL ? tenant : "");
	str_copy(o->user_id, sizeof o->user_id, user != NULL ? user : "");
	load_client(o->client_id, query_int(q, client_col));
	load_client(o->source_id, query_int(q, client_col + 1));
}

/* Counters that are newer than the row count from 0. */
static void load_meter(struct meter *m, struct query *q)
{
	const char *mapping = query_text(q, 0);
	struct cursor c;
	size_t n = 0;
	const void *p = query_blob(q, 3, &n);

	m->known = true;
	str_copy(m->owner.mapping_id, sizeof m->owner.mapping_id, mapping != NULL ? mapping : "");
	load_owner(&m->owner, q, 1, 4);
	cursor_init(&c, p, n);
	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		m->kept[i] = cursor_u64(&c);
}

struct reading {
	struct wave *wave;
	struct run *runs;
};

/* Both are in the order of slots: what was passed is not looked at again. */
static int on_kept(void *arg, size_t i, struct query *q, struct err *e)
{
	const struct reading *reading = arg;
	struct run *run = &reading->runs[i];
	const int64_t slot = query_int(q, 6);

	(void)e;
	while (run->n > 0 && slot_of(&reading->wave->meters[run->first]) < slot) {
		run->first++;
		run->n--;
	}
	if (run->n > 0 && slot_of(&reading->wave->meters[run->first]) == slot)
		load_meter(&reading->wave->meters[run->first], q);
	return 0;
}

static int wave_read(struct wave *w, struct err *e)
{
	struct run *runs = calloc(w->n, sizeof *runs);
	struct bind *values = calloc(w->n, 4 * sizeof *values);
	struct reading reading = { w, runs };
	struct db_each each = { sql[SQL_FIND], values, 4, 0, on_kept, &reading };
	int rc = -1;

	if (runs == NULL || values == NULL) {
		err_set(e, ERR_NOMEM, NULL, "reports: out of memory");
		goto out;
	}
	each.n = find_runs(w, runs);
	for (size_t i = 0; i < each.n; i++) {
		const struct meter *first = &w->meters[runs[i].first], *last = first + runs[i].n - 1;
		struct bind *b = values + i * each.width;

		b[0] = bind_s(first->report->node_id);
		b[1] = bind_s(first->report->m->boot);
		b[2] = bind_i(slot_of(first));
		b[3] = bind_i(slot_of(last));
	}
	rc = db_each(w->tx, &each, e);
out:
	free(runs);
	free(values);
	return rc;
}

static int on_owner(void *arg, size_t i, struct query *q, struct err *e)
{
	struct meter **unknown = arg;

	(void)e;
	load_owner(&unknown[i]->owner, q, 0, 2);
	return 0;
}

/* Nobody, too, when the mapping never was on that node: what it says of others does not count for them. */
static int wave_find_owners(struct wave *w, struct err *e)
{
	struct meter **unknown = calloc(w->n, sizeof(struct meter *));
	struct bind *values = calloc(w->n, 2 * sizeof *values);
	struct db_each each = { sql[SQL_OWNER], values, 2, 0, on_owner, unknown };
	int rc = -1;

	if (unknown == NULL || values == NULL) {
		err_set(e, ERR_NOMEM, NULL, "reports: out of memory");
		goto out;
	}
	for (size_t i = 0; i < w->n; i++) {
		struct meter *m = &w->meters[i];

		if (m->known)
			continue;
		str_copy(m->owner.mapping_id, sizeof m->owner.mapping_id, m->row.object);
		values[each.n * each.width] = bind_s(m->owner.mapping_id);
		values[each.n * each.width + 1] = bind_s(m->report->node_id);
		unknown[each.n++] = m;
	}
	rc = db_each(w->tx, &each, e);
out:
	free(unknown);
	free(values);
	return rc;
}

/* ---- one meter ---------------------------------------------------------------------------------------------------- */

/* Counters never fall; one that does is kept as it was. Answers whether any rose. */
static bool take_values(struct meter *m, struct traffic_increase *by)
{
	bool rose = false;

	for (size_t i = 0; i < METER_COUNTERS_N; i++) {
		const uint64_t now = MIN(m->row.value[i], (uint64_t)TRAFFIC_MAX);

		if (now <= m->kept[i])
			continue;
		by->value[i] = (int64_t)(now - m->kept[i]);
		m->kept[i] = now;
		rose = true;
	}
	by->active = by->value[METER_opened] - by->value[METER_closed];
	return rose;
}

static int count_meters(struct wave *w, const char *node_id, struct err *e)
{
	struct query *q;
	int rc;

	if (w->counted != NULL && str_eq(w->counted, node_id))
		return 0;
	if (db_query(w->tx, &q, sql[SQL_COUNT], e, bind_s(node_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		w->counted = node_id;
		w->count = query_int(q, 0);
	}
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* A backend's values are those of its routes once more. */
static bool is_part(const struct meter *m)
{
	return str_starts(m->row.object, "bck_");
}

static int store_meter(struct wave *w, struct meter *m, struct err *e)
{
	struct traffic_increase by = { 0 };

	if (!m->known && count_meters(w, m->report->node_id, e) != 0)
		return -1;
	if (!m->known && w->count++ >= TRAFFIC_METERS_MAX) { /* no honest relay has so many */
		m->report->skipped++;
		return 0;
	}
	if (!str_eq(m->owner.mapping_id, m->row.object)) {
		log_warn("meter_slot_reused", log_s("node", m->report->node_id), log_s("boot", m->report->m->boot),
			log_u("slot", m->row.slot));
		return 0;
	}
	if (!take_values(m, &by))
		return 0;
	m->known = m->changed = true;
	return is_part(m) ? 0 : traffic_sums_add(w->sums, m->report->node_id, &m->owner, &by, e);
}

/* A report that names a slot twice. */
static bool is_same(const struct meter *a, const struct meter *b)
{
	return a->report == b->report && a->row.slot == b->row.slot;
}

static int wave_store(struct wave *w, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < w->n && rc == 0; i++) {
		struct meter *m = &w->meters[i], *before = i > 0 ? m - 1 : NULL;

		if (before != NULL && is_same(before, m)) {
			m->known = before->known;
			m->changed = before->changed;
			m->owner = before->owner;
			memcpy(m->kept, before->kept, sizeof m->kept);
			before->changed = false; /* no statement may name a row twice */
		}
		rc = store_meter(w, m, e);
	}
	return rc;
}

/* ---- what they have now ------------------------------------------------------------------------------------------- */

/* Some of one report. They go along with whatever is waited for next: the last of the totals at the latest. */
static int save_meters(struct db *tx, struct meter *const *some, size_t n, struct err *e)
{
	uint8_t blobs[SAVE_MANY][8 * METER_COUNTERS_N];
	struct bind b[2 + 5 * SAVE_MANY] = { bind_s(some[0]->report->node_id), bind_s(some[0]->report->m->boot) };

	for (size_t row = 0; row < n; row++) {
		const struct meter *m = some[row];
		struct bind *at = b + 2 + 5 * row;

		for (size_t i = 0; i < METER_COUNTERS_N; i++)
			for (size_t k = 0; k < 8; k++)
				blobs[row][8 * i + k] = (uint8_t)(m->kept[i] >> (56 - 8 * k));
		at[0] = bind_i(slot_of(m));
		at[1] = bind_s(m->owner.mapping_id);
		at[2] = bind_s(m->owner.tenant_id);
		at[3] = bind_s(m->owner.user_id);
		at[4] = bind_b(blobs[row], sizeof blobs[row]);
	}
	return db_post_v(tx, sql[n == 1 ? SQL_SAVE : SQL_SAVE_8], e, b, 2 + 5 * n);
}

static int wave_save(const struct wave *w, struct err *e)
{
	struct meter *some[SAVE_MANY];
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < w->n && rc == 0; i++) {
		const bool last = i + 1 == w->n || w->meters[i + 1].report != w->meters[i].report;

		if (w->meters[i].changed)
			some[n++] = &w->meters[i];
		if (n == SAVE_MANY) {
			rc = save_meters(w->tx, some, n, e);
			n = 0;
		}
		for (; last && n > 0 && rc == 0; n--)
			rc = save_meters(w->tx, &some[n - 1], 1, e);
	}
	return rc;
}

/* ---- a boot ends -------------------------------------------------------------------------------------------------- */

struct ending {
	struct db *tx;
	struct traffic_sums *sums;
	const char *node_id;
};

/* The connections that a boot had when it ended are no longer there, and its meters are not needed any more. */
static int end_boot(const struct ending *of, const char *boot, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(of->tx, &q, sql[SQL_LEFT], e, bind_s(of->node_id), bind_s(boot)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		struct meter m = { .at = 0 };
		struct traffic_increase by = { 0 };

		load_meter(&m, q);
		by.active = (int64_t)m.kept[METER_closed] - (int64_t)m.kept[METER_opened];
		if (by.active != 0 && traffic_sums_add(of->sums, of->node_id, &m.owner, &by, e) != 0) {
			rc = -1;
			break;
		}
	}
	query_end(q);
	return rc != 0 ? -1 : db_post(of->tx, sql[SQL_DROP], e, bind_s(of->node_id), bind_s(boot));
}

/* A boot ends before its meters are read: that waits for a report of it that another controld stores now. */
int traffic_node_gone(struct db *tx, const char *node_id, int64_t now_ms, struct err *e)
{
	struct ending of = { .tx = tx, .node_id = node_id };
	char boot[PROTO_ID_SIZE];
	int rc;

	if (traffic_sums_new(&of.sums, e) != 0)
		return -1;
	while ((rc = traffic_boots_living(tx, node_id, boot, e)) == 1) {
		rc = traffic_boots_end(tx, node_id, boot, now_ms, e);
		if (rc == 0)
			rc = end_boot(&of, boot, e);
		if (rc != 0)
			break;
	}
	if (rc == 0)
		rc = traffic_sums_write(tx, of.sums, now_ms, e);
	traffic_sums_free(of.sums);
	return rc == 0 ? placement_forget_node(tx, node_id, e) : -1;
}

/* ---- reports ------------------------------------------------------------------------------------------------------ */

static int wave_end(const struct wave *w, const struct traffic_report *all, size_t n, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct ending of = { w->tx, w->sums, all[i].node_id };

		if (all[i].skipped > 0)
			log_warn("meters_skipped", log_s("node", all[i].node_id), log_u("skipped", all[i].skipped),
				log_i("most", TRAFFIC_METERS_MAX));
		if (all[i].stored && !traffic_is_heartbeat(&all[i]) && all[i].m->last)
			rc = end_boot(&of, all[i].m->boot, e);
	}
	return rc;
}

static int store_wave(struct wave *w, struct traffic_report *all, size_t n, int64_t now_ms, struct err *e)
{
	int rc = traffic_boots_claim(w->tx, all, n, now_ms, e);

	if (rc == 0)
		rc = wave_gather(w, all, n, e);
	if (rc == 0 && w->n > 0)
		rc = wave_read(w, e);
	if (rc == 0 && w->n > 0)
		rc = wave_find_owners(w, e);
	if (rc == 0)
		rc = wave_store(w, e);
	if (rc == 0)
		rc = wave_save(w, e);
	if (rc == 0)
		rc = wave_end(w, all, n, e);
	free(w->meters);
	return rc;
}

static int compare_reports(const void *a, const void *b)
{
	const struct traffic_report *x = a, *y = b;
	int order = strcmp(x->node_id, y->node_id);

	if (order == 0)
		order = strcmp(x->m->boot, y->m->boot);
	return order != 0 ? order : (x->m->number > y->m->number) - (x->m->number < y->m->number);
}

/* From the first one on: a second report of a boot is compared with what the first one has left. */
static size_t different_boots(const struct traffic_report *all, size_t n)
{
	size_t i = 1;

	while (i < n && (!str_eq(all[i].node_id, all[i - 1].node_id) || !str_eq(all[i].m->boot, all[i - 1].m->boot)))
		i++;
	return i;
}

int traffic_store_reports(struct db *tx, struct traffic_report *reports, size_t n, int64_t now_ms, struct err *e)
{
	struct traffic_sums *sums;
	int rc = 0;

	if (traffic_sums_new(&sums, e) != 0)
		return -1;
	qsort(reports, n, sizeof *reports, compare_reports);
	for (size_t i = 0; i < n; i++) {
		reports[i].refused = false;
		reports[i].skipped = 0;
	}
	for (size_t i = 0, some; i < n && rc == 0; i += some) {
		struct wave w = { .tx = tx, .sums = sums };

		some = different_boots(reports + i, n - i);
		rc = store_wave(&w, reports + i, some, now_ms, e);
	}
	if (rc == 0)
		rc = traffic_sums_write(tx, sums, now_ms, e);
	traffic_sums_free(sums);
	return rc;
}
