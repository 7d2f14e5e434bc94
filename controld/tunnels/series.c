#include "controld/tunnels/series.h"

#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define SECOND         INT64_C(1000)
#define HOUR           INT64_C(3600000)
#define DAY            INT64_C(86400000)
#define OVERLAP_MS     (15 * SECOND) /* a report may be committed this long after the time it carries */
#define PRUNE_EVERY_MS (600 * SECOND)
#define ROWS_PER_WRITE 500 /* keeps a transaction short */

static const int64_t step_ms[SERIES_STEPS] = {
	[SERIES_10S] = 10 * SECOND, [SERIES_1M] = 60 * SECOND, [SERIES_1H] = HOUR
};

enum { SQL_MOVED };
static const char *const sql[] = {
	[SQL_MOVED] =
		"SELECT scope, tenant_id, id, bytes_in, bytes_out, packets_in, packets_out, opened, refused_limit + "
		"refused_source + refused_cidr + refused_proxy + refused_dial + refused_resource + "
		"refused_down + refused_quota + refused_login + refused_destination + refused_protocol, dropped_in + "
		"dropped_out, "
		"active FROM traffic WHERE updated_ms >= ?1",
};
const struct sql_table series_sql = { "series", sql, ARRAY_LEN(sql) };

#define VALUES  "bytes_in, bytes_out, packets_in, packets_out, opened, refused, dropped, active"
#define SUBJECT "(SELECT number FROM sample_subjects WHERE scope = ?1 AND tenant_id = ?2 AND id = ?3)"

enum {
	SQL_SUBJECT,
	SQL_SUBJECT_NEW,
	SQL_SUBJECTS,
	SQL_SAVE,
	SQL_SAMPLED,
	SQL_SAMPLED_SET,
	SQL_PRUNE,
	SQL_BEFORE,
	SQL_RANGE
};
static const char *const samples_sql[] = {
	[SQL_SUBJECT] = "SELECT number FROM sample_subjects WHERE scope = ?1 AND tenant_id = ?2 AND id = ?3",
	[SQL_SUBJECT_NEW] =
		"INSERT INTO sample_subjects (number, scope, tenant_id, id) SELECT coalesce(max(number), 0) + 1, ?1, "
		"?2, ?3 FROM sample_subjects",
	[SQL_SUBJECTS] = "SELECT number FROM sample_subjects WHERE number > ?1 ORDER BY number LIMIT ?2",
	[SQL_SAVE] =
		"INSERT INTO samples (subject, step, time_ms, " VALUES
		") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
		"?11) ON CONFLICT (subject, step, time_ms) DO UPDATE SET bytes_in = excluded.bytes_in, bytes_out = "
		"excluded.bytes_out, packets_in = excluded.packets_in, packets_out = excluded.packets_out, opened = "
		"excluded.opened, refused = excluded.refused, dropped = excluded.dropped, active = excluded.active",
	[SQL_SAMPLED] = "SELECT sampled_ms FROM sample_state",
	[SQL_SAMPLED_SET] = "UPDATE sample_state SET sampled_ms = ?1",
	[SQL_PRUNE] = "DELETE FROM samples WHERE subject = ?1 AND step = ?2 AND time_ms < (SELECT max(s.time_ms) FROM "
		      "samples s "
		      "WHERE s.subject = ?1 AND s.step = ?2 AND s.time_ms < ?3)",
	[SQL_BEFORE] =
		"SELECT time_ms, " VALUES " FROM samples WHERE subject = " SUBJECT " AND step = ?4 AND time_ms < ?5 "
		"ORDER BY time_ms DESC LIMIT 1",
	[SQL_RANGE] = "SELECT time_ms, " VALUES " FROM samples WHERE subject = " SUBJECT
		      " AND step = ?4 AND time_ms >= ?5 AND "
		      "time_ms < ?6 ORDER BY time_ms",
};
const struct sql_table series_samples_sql = { "series_samples", samples_sql, ARRAY_LEN(samples_sql) };

struct series {
	struct series_conf conf;
	int64_t since_ms; /* totals that moved before are sampled; -1: not known yet */
	int64_t pruned_ms;
};

int series_new(struct series **out, const struct series_conf *conf, struct err *e)
{
	struct series *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "series: out of memory");
	s->conf = *conf;
	s->since_ms = -1;
	*out = s;
	return 0;
}

void series_free(struct series *s)
{
	free(s);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */
enum { V_BYTES_IN, V_BYTES_OUT, V_PACKETS_IN, V_PACKETS_OUT, V_OPENED, V_REFUSED, V_DROPPED, V_ACTIVE, V_N };

struct total {
	char scope[16];
	char tenant_id[PROTO_ID_SIZE];
	char id[PROTO_ID_SIZE];
	int64_t value[V_N];
};

struct totals {
	struct total *items;
	size_t n, cap;
};

static struct total *totals_add(struct totals *t)
{
	if (t->n == t->cap) {
		const size_t cap = MAX(2 * t->cap, 64);
		struct total *items = realloc(t->items, cap * sizeof *items);

		if (items == NULL)
			return NULL;
		t->items = items;
		t->cap = cap;
	}
	return &t->items[t->n++];
}

static int read_moved(struct db *db, int64_t since_ms, struct totals *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_MOVED], e, bind_i(since_ms)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		struct total *t = totals_add(out);

		if (t == NULL) {
			rc = err_set(e, ERR_NOMEM, NULL, "series: out of memory");
			break;
		}
		str_copy(t->scope, sizeof t->scope, query_text(q, 0));
		str_copy(t->tenant_id, sizeof t->tenant_id, query_text(q, 1));
		str_copy(t->id, sizeof t->id, query_text(q, 2));
		for (int i = 0; i < V_N; i++)
			t->value[i] = query_int(q, 3 + i);
	}
	query_end(q);
	return rc;
}

struct save {
	const struct total *items;
	size_t n;
	int64_t now_ms;
	int64_t sampled_ms; /* what is known to be sampled afterwards */
};

/* Inside a transaction that runs alone: the next number is free. */
static int find_subject(struct db *tx, const struct total *t, int64_t *number, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, samples_sql[SQL_SUBJECT], e, bind_s(t->scope), bind_s(t->tenant_id), bind_s(t->id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		*number = query_int(q, 0);
	query_end(q);
	return rc;
}

static int subject_of(struct db *tx, const struct total *t, int64_t *number, struct err *e)
{
	int rc = find_subject(tx, t, number, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (db_exec(tx, samples_sql[SQL_SUBJECT_NEW], e, bind_s(t->scope), bind_s(t->tenant_id), bind_s(t->id)) < 0)
		return -1;
	rc = find_subject(tx, t, number, e);
	return rc == 0 ? err_set(e, ERR_STORAGE, NULL, "series: subject %s is not there", t->id) : MIN(rc, 0);
}

static int save_total(struct db *tx, const struct total *t, int64_t now_ms, struct err *e)
{
	int64_t subject = 0;

	if (subject_of(tx, t, &subject, e) != 0)
		return -1;
	for (int step = 0; step < SERIES_STEPS; step++) {
		struct bind b[3 + V_N] = { bind_i(subject), bind_i(step_ms[step]),
			bind_i(now_ms - now_ms % step_ms[step]) };

		for (int v = 0; v < V_N; v++)
			b[3 + v] = bind_i(t->value[v]);
		if (db_exec_v(tx, samples_sql[SQL_SAVE], e, b, ARRAY_LEN(b)) < 0)
			return -1;
	}
	return 0;
}

static int work_save(struct db *tx, void *arg, struct err *e)
{
	const struct save *save = arg;

	for (size_t i = 0; i < save->n; i++)
		if (save_total(tx, &save->items[i], save->now_ms, e) != 0)
			return -1;
	return db_exec(tx, samples_sql[SQL_SAMPLED_SET], e, bind_i(save->sampled_ms)) < 0 ? -1 : 0;
}

static int save_all(struct series *s, const struct totals *t, int64_t now_ms, struct err *e)
{
	for (size_t at = 0; at < t->n; at += ROWS_PER_WRITE) {
		const size_t n = MIN(t->n - at, ROWS_PER_WRITE);
		struct save save = { t->items + at, n, now_ms, at + n == t->n ? now_ms : s->since_ms };

		if (store_write(s->conf.samples, STORE_OPERATIONAL, work_save, &save, e) != 0)
			return -1;
	}
	return 0;
}

/* After a restart: whatever moved since it was last done. */
static int find_since(struct series *s, struct err *e)
{
	struct query *q;
	struct db *db;
	int rc;

	if (store_read_begin(s->conf.samples, &db, e) != 0)
		return -1;
	rc = db_query(db, &q, samples_sql[SQL_SAMPLED], e);
	if (rc == 0) {
		rc = query_next(q, e);
		if (rc >= 0)
			s->since_ms = rc == 1 ? MAX(query_int(q, 0) - OVERLAP_MS, 0) : 0;
		query_end(q);
	}
	store_read_end(db);
	return rc < 0 ? -1 : 0;
}

/* ---- retention ---------------------------------------------------------------------------------------------------- */
struct prune {
	const struct series *s;
	int64_t now_ms;
	int64_t after; /* subject done last, before this write */
	int64_t last;  /* and in it */
	size_t n;
};

static int prune_subject(struct db *tx, const struct prune *p, int64_t subject, struct err *e)
{
	for (int step = 0; step < SERIES_STEPS; step++) {
		const int64_t keep_ms = (int64_t)p->s->conf.retention_ms[step];

		if (keep_ms > 0 && db_exec(tx, samples_sql[SQL_PRUNE], e, bind_i(subject), bind_i(step_ms[step]),
					   bind_i(p->now_ms - keep_ms)) < 0)
			return -1;
	}
	return 0;
}

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	struct prune *p = arg;
	struct query *q;
	int rc;

	p->n = 0;
	p->last = p->after;
	if (db_query(tx, &q, samples_sql[SQL_SUBJECTS], e, bind_i(p->after), bind_i(ROWS_PER_WRITE)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		p->last = query_int(q, 0);
		p->n++;
		rc = prune_subject(tx, p, p->last, e);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc;
}

static int prune(struct series *s, int64_t now_ms, struct err *e)
{
	struct prune p = { .s = s, .now_ms = now_ms };

	if (now_ms - s->pruned_ms < PRUNE_EVERY_MS && now_ms >= s->pruned_ms)
		return 0;
	s->pruned_ms = now_ms;
	do {
		if (store_write(s->conf.samples, STORE_OPERATIONAL, work_prune, &p, e) != 0)
			return -1;
		p.after = p.last;
	} while (p.n == ROWS_PER_WRITE);
	return 0;
}

int series_tick(struct series *s, int64_t now_ms, struct err *e)
{
	struct totals moved = { 0 };
	struct db *db;
	int rc;

	if (s->since_ms < 0 && find_since(s, e) != 0)
		return -1;
	if (store_read_begin(s->conf.totals, &db, e) != 0)
		return -1;
	rc = read_moved(db, s->since_ms, &moved, e);
	store_read_end(db);
	if (rc == 0)
		rc = save_all(s, &moved, now_ms, e);
	free(moved.items);
	if (rc != 0)
		return -1;
	s->since_ms = MAX(now_ms - OVERLAP_MS, 0);
	return prune(s, now_ms, e);
}

/* ---- ranges ------------------------------------------------------------------------------------------------------- */
static void align(struct series_range *r, int64_t from_ms, int64_t to_ms, enum series_step step)
{
	const int64_t length = step_ms[step];

	r->step_ms = length;
	r->from_ms = from_ms - from_ms % length;
	r->to_ms = to_ms - to_ms % length + length;
}

int series_range_named(struct series_range *r, const char *time_range, int64_t now_ms)
{
	static const struct {
		const char *name;
		int64_t length;
		enum series_step step;
	} names[] = {
		{ "1h", HOUR, SERIES_10S },
		{ "24h", DAY, SERIES_1M },
		{ "7d", 7 * DAY, SERIES_1H },
		{ "30d", 30 * DAY, SERIES_1H },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i].name, time_range)) {
			align(r, now_ms - names[i].length, now_ms, names[i].step);
			r->from_ms += r->step_ms; /* the step that has begun counts as one of them */
			return 0;
		}
	return -1;
}

int series_range_between(const struct series *s, struct series_range *r, int64_t from_ms, int64_t to_ms, int64_t now_ms)
{
	static const int64_t widest[SERIES_STEPS] = {
		[SERIES_10S] = 2 * HOUR, [SERIES_1M] = 2 * DAY, [SERIES_1H] = (SERIES_POINTS_MAX - 1) * HOUR
	};

	to_ms = MIN(to_ms - 1, now_ms); /* the end itself is not part of the range */
	if (from_ms < 0 || from_ms > to_ms)
		return -1;
	for (enum series_step step = SERIES_10S; step < SERIES_STEPS; step++) {
		const int64_t keep_ms = (int64_t)s->conf.retention_ms[step];

		if (to_ms - from_ms > widest[step])
			continue;
		if (step != SERIES_1H && keep_ms > 0 && from_ms < now_ms - keep_ms)
			continue;
		align(r, from_ms, to_ms, step);
		return 0;
	}
	return -1;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */
static void load_sample(struct query *q, int64_t value[V_N])
{
	for (int i = 0; i < V_N; i++)
		value[i] = query_int(q, 1 + i);
}

static void set_point(struct series_point *p, const int64_t now[V_N], const int64_t before[V_N])
{
	p->bytes_in = now[V_BYTES_IN] - before[V_BYTES_IN];
	p->bytes_out = now[V_BYTES_OUT] - before[V_BYTES_OUT];
	p->packets_in = now[V_PACKETS_IN] - before[V_PACKETS_IN];
	p->packets_out = now[V_PACKETS_OUT] - before[V_PACKETS_OUT];
	p->opened = now[V_OPENED] - before[V_OPENED];
	p->refused = now[V_REFUSED] - before[V_REFUSED];
	p->dropped = now[V_DROPPED] - before[V_DROPPED];
	p->active = MAX(now[V_ACTIVE], 0);
}

/* The sample before the range, or zeros: then nothing had passed before it. */
static int read_before(struct db *db, const struct bind *b, int64_t before[V_N], struct err *e)
{
	struct query *q;
	int rc;

	memset(before, 0, V_N * sizeof before[0]);
	if (db_query_v(db, &q, samples_sql[SQL_BEFORE], e, b, 5) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		load_sample(q, before);
	query_end(q);
	return rc < 0 ? -1 : 0;
}

/* Steps without a sample keep the connections of the one before, and nothing passed in them. */
static void fill(struct series_point *points, size_t *at, size_t until, int64_t active)
{
	for (; *at < until; (*at)++)
		points[*at].active = active;
}

static int read_points(struct db *db, const struct bind *b, const struct series_range *r, struct series_point *points,
	size_t n, struct err *e)
{
	int64_t before[V_N], now[V_N];
	struct query *q;
	size_t at = 0;
	int rc;

	if (read_before(db, b, before, e) != 0 || db_query_v(db, &q, samples_sql[SQL_RANGE], e, b, 6) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const size_t i = (size_t)((query_int(q, 0) - r->from_ms) / r->step_ms);

		load_sample(q, now);
		fill(points, &at, MIN(i, n), MAX(before[V_ACTIVE], 0));
		if (i >= n)
			break;
		set_point(&points[i], now, before);
		memcpy(before, now, sizeof before);
		at = i + 1;
	}
	query_end(q);
	fill(points, &at, n, MAX(before[V_ACTIVE], 0));
	return rc < 0 ? -1 : 0;
}

int series_read(struct series *s, enum traffic_scope scope, const char *tenant_id, const char *id,
	const struct series_range *r, struct series_point **points, size_t *n, struct err *e)
{
	const struct bind b[] = { bind_s(traffic_scope_name(scope)), bind_s(tenant_id), bind_s(id), bind_i(r->step_ms),
		bind_i(r->from_ms), bind_i(r->to_ms) };
	const size_t count = (size_t)((r->to_ms - r->from_ms) / r->step_ms);
	struct series_point *made;
	struct db *db;
	int rc;

	if (store_read_begin(s->conf.samples, &db, e) != 0)
		return -1;
	made = calloc(count + 1, sizeof *made);
	for (size_t i = 0; i < count && made != NULL; i++)
		made[i].time_ms = r->from_ms + (int64_t)i * r->step_ms;
	rc = made != NULL ? read_points(db, b, r, made, count, e)
	                  : err_set(e, ERR_NOMEM, NULL, "series: out of memory");
	store_read_end(db);
	if (rc != 0) {
		free(made);
		return -1;
	}
	*points = made;
	*n = count;
	return 0;
}
