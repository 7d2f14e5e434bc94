#include "client/resource/rates.h"

#include "client/out/print.h"
#include "common/base/map.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define ID_SIZE 64

struct tunnel {
	char id[ID_SIZE];
	uint64_t seen_ms;
	int64_t in, out, opened, reached, connect_us; /* counters */
	int64_t in_s, out_s, connections;
	json_t *object;
};

struct rates {
	struct map by_id;
	struct tunnel **all; /* sorted by rates_end() */
	size_t n, room;
	uint64_t now_ms;
	struct rates_total total, coming; /* of the last whole look, of the one that goes on */
};

int rates_new(struct rates **out)
{
	struct rates *r = calloc(1, sizeof *r);

	if (r == NULL)
		return -1;
	map_init(&r->by_id);
	*out = r;
	return 0;
}

static void free_tunnel(struct tunnel *t)
{
	json_decref(t->object);
	free(t);
}

void rates_free(struct rates *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		free_tunnel(r->all[i]);
	map_free(&r->by_id);
	free(r->all);
	free(r);
}

void rates_begin(struct rates *r, uint64_t now_ms)
{
	r->now_ms = now_ms;
	r->coming = (struct rates_total){ 0 };
}

static struct tunnel *new_tunnel(struct rates *r, const char *id)
{
	struct tunnel *t;

	if (r->n == r->room) {
		const size_t room = r->room > 0 ? r->room * 2 : 64;
		struct tunnel **all = realloc(r->all, room * sizeof(struct tunnel *));

		if (all == NULL)
			return NULL;
		r->all = all;
		r->room = room;
	}
	if ((t = calloc(1, sizeof *t)) == NULL)
		return NULL;
	(void)str_copy(t->id, sizeof t->id, id);
	if (map_put_str(&r->by_id, t->id, t, NULL) != 0) {
		free(t);
		return NULL;
	}
	r->all[r->n++] = t;
	return t;
}

static int64_t counter(const json_t *mapping, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(mapping, "traffic_stats"), name));
}

/* Per second; a counter that fell (another database) has no rate. */
static int64_t rate(int64_t before, int64_t now, uint64_t ms)
{
	return now > before && ms > 0 ? (int64_t)((double)(now - before) * 1000.0 / (double)ms + 0.5) : 0;
}

/* How long it took to reach the target of late, in microseconds (new); null when it was not dialled. */
static json_t *connect_us_of(const struct tunnel *t, int64_t reached, int64_t us)
{
	if (reached <= t->reached || us < t->connect_us)
		return json_null();
	return json_integer((us - t->connect_us) / (reached - t->reached));
}

static void count_status(struct rates_total *total, const json_t *mapping)
{
	const char *status = json_string_value(json_object_get(mapping, "status"));

	total->tunnels++;
	total->active += str_eq(status, "active") ? 1 : 0;
	total->failed += str_eq(status, "error") ? 1 : 0;
}

int rates_add(struct rates *r, const json_t *mapping)
{
	const char *id = json_string_value(json_object_get(mapping, "id"));
	const int64_t in = counter(mapping, "bytes_received"), out = counter(mapping, "bytes_sent"),
		      opened = counter(mapping, "connections_total"), reached = counter(mapping, "targets_reached"),
		      connect_us = counter(mapping, "connect_time_us");
	struct tunnel *t = map_get_str(&r->by_id, id != NULL ? id : "");
	int64_t opened_s = 0;
	json_t *latency;

	if (t == NULL && (t = new_tunnel(r, id != NULL ? id : "")) == NULL)
		return -1;
	latency = t->seen_ms != 0 ? connect_us_of(t, reached, connect_us) : json_null();
	t->in_s = t->out_s = 0;
	if (t->seen_ms != 0 && r->now_ms > t->seen_ms) {
		t->in_s = rate(t->in, in, r->now_ms - t->seen_ms);
		t->out_s = rate(t->out, out, r->now_ms - t->seen_ms);
		opened_s = rate(t->opened, opened, r->now_ms - t->seen_ms);
	}
	t->seen_ms = r->now_ms;
	t->in = in;
	t->out = out;
	t->opened = opened;
	t->reached = reached;
	t->connect_us = connect_us;
	t->connections = counter(mapping, "connections_active");
	count_status(&r->coming, mapping);
	r->coming.connections += t->connections;
	r->coming.in += t->in_s;
	r->coming.out += t->out_s;
	r->coming.opened += opened_s;
	json_decref(t->object);
	t->object = json_copy((json_t *)mapping);
	return json_object_set_new(t->object, "rate",
		json_pack("{s:I, s:I, s:I, s:o}", "in", (json_int_t)t->in_s, "out", (json_int_t)t->out_s, "opened",
			(json_int_t)opened_s, "connect_us", latency));
}

/* The busiest first, then those with connections, then the oldest: rows that do nothing stay where they are. */
static int by_rate(const void *a, const void *b)
{
	const struct tunnel *s = *(struct tunnel *const *)a, *t = *(struct tunnel *const *)b;
	const int64_t left = s->in_s + s->out_s, right = t->in_s + t->out_s;

	if (left != right)
		return left > right ? -1 : 1;
	if (s->connections != t->connections)
		return s->connections > t->connections ? -1 : 1;
	return strcmp(s->id, t->id);
}

void rates_end(struct rates *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct tunnel *t = r->all[i];

		if (t->seen_ms == r->now_ms) {
			r->all[kept++] = t;
			continue;
		}
		(void)map_remove_str(&r->by_id, t->id);
		free_tunnel(t);
	}
	r->n = kept;
	r->total = r->coming;
	if (kept > 1)
		qsort(r->all, kept, sizeof(struct tunnel *), by_rate);
}

const struct rates_total *rates_total(const struct rates *r)
{
	return &r->total;
}

size_t rates_count(const struct rates *r)
{
	return r->n;
}

const json_t *rates_at(const struct rates *r, size_t i)
{
	return r->all[i]->object;
}
