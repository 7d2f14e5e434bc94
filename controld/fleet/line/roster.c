#include "controld/fleet/line/roster.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "controld/fleet/line/roster_room.h"

#include <stdlib.h>
#include <string.h>

/* A state that has not been confirmed for this long may be replaced by an older one: the relay began anew, somehow. */
#define STATE_STALE_MS 20000
/* Reports come every 5 s; what they say of load is told on less often. */
#define LOAD_TOLD_MS 15000

int roster_new(struct roster **out, uint64_t offline_ms, struct err *e)
{
	struct roster *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "roster: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	map_init(&r->nodes);
	r->offline_ms = offline_ms;
	*out = r;
	return 0;
}

static void entry_free(struct roster_entry *n)
{
	free(n->refused.items);
	buf_free(&n->state);
	free(n);
}

void roster_free(struct roster *r)
{
	struct roster_entry *n;
	size_t it = 0;

	if (r == NULL)
		return;
	while ((n = map_next(&r->nodes, &it)) != NULL)
		entry_free(n);
	map_free(&r->nodes);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

void roster_set_online(struct roster *r, struct roster_entry *n, bool online)
{
	if (n->node.row.online == online)
		return;
	n->node.row.online = online;
	n->dirty = true;
	if (online)
		r->online++;
	else
		r->online--;
}

static struct roster_entry *entry_make(struct roster *r, const struct node *row, uint64_t now_ms)
{
	struct roster_entry *n = calloc(1, sizeof *n);

	if (n == NULL)
		return NULL;
	n->node.row = *row;
	n->awaited = row->online && row->standing == NODE_JOINED;
	n->node.row.online = false;
	n->heard_ms = now_ms;
	str_copy(n->node.peer, sizeof n->node.peer, row->controld_id);
	buf_init(&n->state, PROTO_MSG_MAX);
	if (map_put_str(&r->nodes, n->node.row.id, n, NULL) == 0)
		return n;
	free(n);
	return NULL;
}

/* What the line heard is newer than what is written down about it. A node that was bound again is another machine. */
static void entry_take(struct roster_entry *n, const struct node *row)
{
	const struct node was = n->node.row;

	if (was.joined_ms != row->joined_ms) {
		memset(&n->node.applied, 0, sizeof n->node.applied);
		n->node.serial = 0;
	}
	n->node.row = *row;
	n->node.row.online = was.online;
	n->node.row.seen_ms = was.seen_ms;
	memcpy(n->node.row.address, was.address, sizeof was.address);
	memcpy(n->node.row.relay_version, was.relay_version, sizeof was.relay_version);
}

int roster_put(
	struct roster *r, const struct node *row, const struct roster_serials *refused, uint64_t now_ms, struct err *e)
{
	struct roster_serials copy = { .n = refused->n };
	struct roster_entry *n;
	int rc = 0;

	if (copy.n > 0) {
		copy.items = calloc(copy.n, sizeof copy.items[0]);
		if (copy.items == NULL)
			return err_set(e, ERR_NOMEM, NULL, "roster: out of memory");
		memcpy(copy.items, refused->items, copy.n * sizeof copy.items[0]);
	}
	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, row->id);
	if (n != NULL)
		entry_take(n, row);
	else
		n = entry_make(r, row, now_ms);
	if (n != NULL) {
		free(n->refused.items);
		n->refused = copy;
		if (row->standing != NODE_JOINED) {
			n->awaited = n->node.here = false;
			roster_set_online(r, n, false);
		}
	} else {
		free(copy.items);
		rc = err_set(e, ERR_NOMEM, NULL, "roster: out of memory");
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void roster_remove(struct roster *r, const char *id)
{
	struct roster_entry *n;

	pthread_mutex_lock(&r->lock);
	n = map_remove_str(&r->nodes, id);
	if (n != NULL) {
		roster_set_online(r, n, false);
		r->claims -= n->node.claim;
		entry_free(n);
	}
	pthread_mutex_unlock(&r->lock);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static bool is_refused(const struct roster_entry *n, const char *serial)
{
	for (size_t i = 0; i < n->refused.n; i++)
		if (strcmp(n->refused.items[i], serial) == 0)
			return true;
	return false;
}

bool roster_admits(struct roster *r, const struct cert_info *cert, uint64_t now_ms)
{
	const struct roster_entry *n;
	bool admitted;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, cert->cn);
	admitted = n != NULL && n->node.row.standing == NODE_JOINED && now_ms >= n->closed_ms &&
	           !is_refused(n, cert->serial);
	pthread_mutex_unlock(&r->lock);
	return admitted;
}

bool roster_get(struct roster *r, const char *id, struct roster_node *out)
{
	const struct roster_entry *n;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	if (n != NULL)
		*out = n->node;
	pthread_mutex_unlock(&r->lock);
	return n != NULL;
}

static bool is_asked(const struct roster_entry *n, const char *group, const char *node)
{
	const struct node *row = &n->node.row;

	return row->online && (group[0] == '\0' || strcmp(row->group_id, group) == 0) &&
	       (node[0] == '\0' || strcmp(row->id, node) == 0);
}

int roster_online(
	struct roster *r, const char *group, const char *node, struct asks_node **out, size_t *n, struct err *e)
{
	struct asks_node *list;
	const struct roster_entry *one;
	size_t it = 0;

	*n = 0;
	pthread_mutex_lock(&r->lock);
	list = calloc(r->online + 1, sizeof *list);
	while (list != NULL && (one = map_next(&r->nodes, &it)) != NULL) {
		if (!is_asked(one, group, node))
			continue;
		str_copy(list[*n].id, sizeof list[*n].id, one->node.row.id);
		str_copy(list[*n].name, sizeof list[*n].name, one->node.row.name);
		++*n;
	}
	pthread_mutex_unlock(&r->lock);
	if (list == NULL)
		return err_set(e, ERR_NOMEM, NULL, "nodes to ask: out of memory");
	*out = list;
	return 0;
}

void roster_behind(struct roster *r, const char *group, uint64_t seq, void (*fn)(const char *name, void *arg),
	void *arg, size_t *n)
{
	const struct roster_entry *one;
	size_t it = 0;

	*n = 0;
	pthread_mutex_lock(&r->lock);
	while ((one = map_next(&r->nodes, &it)) != NULL) {
		const struct node *row = &one->node.row;

		if (!str_eq(row->group_id, group) || !(row->online || one->awaited))
			continue;
		++*n;
		if (one->node.applied.seq < seq)
			fn(row->name, arg);
	}
	pthread_mutex_unlock(&r->lock);
}

uint16_t roster_shared_port(struct roster *r, const char *group, const char *node, bool tls)
{
	const struct roster_entry *one;
	uint16_t port = 0;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	while (port == 0 && (one = map_next(&r->nodes, &it)) != NULL)
		if (is_asked(one, group, node))
			port = tls ? one->node.load.tls_port : one->node.load.http_port;
	pthread_mutex_unlock(&r->lock);
	return port;
}

void roster_count(struct roster *r, size_t *nodes, size_t *online)
{
	const struct roster_entry *n;
	size_t it = 0;

	*nodes = 0;
	pthread_mutex_lock(&r->lock);
	while ((n = map_next(&r->nodes, &it)) != NULL)
		*nodes += n->node.row.standing == NODE_JOINED;
	*online = r->online;
	pthread_mutex_unlock(&r->lock);
}

/* ---- what the line hears ----------------------------------------------------------------------------------------- */

/* Its row says so soon; also of one that was here and comes back. */
static void come_here(struct roster *r, struct roster_entry *n, bool news)
{
	if (n->node.here && !news)
		return;
	n->node.here = true;
	r->claims += !n->node.claim;
	n->node.claim = true;
}

bool roster_heard(struct roster *r, const char *id, const char *address, uint64_t now_ms, int64_t wall_ms)
{
	struct roster_entry *n;
	bool news = false;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	if (n != NULL && n->node.row.standing == NODE_JOINED) {
		news = !n->awaited && !n->node.row.online;
		n->awaited = true;
		n->node.known = true;
		n->heard_ms = now_ms;
		n->node.row.seen_ms = wall_ms;
		n->dirty = true;
		str_copy(n->node.row.address, sizeof n->node.row.address, address);
		come_here(r, n, news);
		roster_set_online(r, n, true);
	}
	pthread_mutex_unlock(&r->lock);
	return news;
}

/*
 * Two lines carry states, so an older one may come last. The serial rises over all processes of a relay; between changes
 * of the list the revision tells which is newer.
 */
static bool is_older(const struct roster_node *n, const struct node_state *s)
{
	if (s->serial != n->serial)
		return s->serial < n->serial;
	return memcmp(s->applied.log_id, n->applied.log_id, sizeof s->applied.log_id) == 0 &&
	       s->applied.seq < n->applied.seq;
}

void roster_take_state(struct roster_entry *n, const struct node_state *s)
{
	n->node.applied = s->applied;
	n->node.serial = s->serial;
	n->node.refused = s->n + s->more;
	buf_reset(&n->state);
	node_state_put(&n->state, s);
}

static bool is_same(const struct roster_node *n, const struct node_state *s)
{
	return n->serial == s->serial && n->refused == s->n + s->more &&
	       memcmp(&n->applied, &s->applied, sizeof n->applied) == 0;
}

enum roster_took roster_state(struct roster *r, const char *id, const struct node_state *s, uint64_t now_ms)
{
	enum roster_took took = ROSTER_OLD;
	struct roster_entry *n;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	if (n != NULL && (!is_older(&n->node, s) || now_ms - n->confirmed_ms >= STATE_STALE_MS)) {
		took = is_same(&n->node, s) && n->state.len > 0 ? ROSTER_SAME : ROSTER_NEW;
		n->confirmed_ms = now_ms;
		if (took == ROSTER_NEW)
			roster_take_state(n, s);
	}
	pthread_mutex_unlock(&r->lock);
	return took;
}

void roster_take_load(struct roster_entry *n, const struct node_load *load, int64_t seen_ms)
{
	n->node.load = *load;
	n->node.loaded = true;
	n->node.row.seen_ms = seen_ms;
	str_copy(n->node.row.relay_version, sizeof n->node.row.relay_version, load->version);
}

/* Figures apart. */
static bool says_the_same(const struct node_load *a, const struct node_load *b)
{
	return str_eq(a->agents, b->agents) && a->http_port == b->http_port && a->tls_port == b->tls_port &&
	       str_eq(a->version, b->version) && str_eq(a->name, b->name);
}

bool roster_load(struct roster *r, const char *id, const struct node_load *load, uint64_t now_ms, int64_t wall_ms)
{
	struct roster_entry *n;
	bool news = false;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	if (n != NULL) {
		news = n->told_ms == 0 || now_ms - n->told_ms >= LOAD_TOLD_MS || !says_the_same(&n->node.load, load);
		if (news)
			n->told_ms = now_ms;
		roster_take_load(n, load, wall_ms);
	}
	pthread_mutex_unlock(&r->lock);
	return news;
}

int roster_ids(struct roster *r, char (**out)[PROTO_ID_SIZE], size_t *n, struct err *e)
{
	struct roster_entry *one;
	size_t it = 0;

	*n = 0;
	pthread_mutex_lock(&r->lock);
	*out = calloc(map_count(&r->nodes) + 1, sizeof **out);
	while (*out != NULL && (one = map_next(&r->nodes, &it)) != NULL)
		str_copy((*out)[(*n)++], sizeof **out, one->node.row.id);
	pthread_mutex_unlock(&r->lock);
	return *out != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "nodes: out of memory");
}

void roster_want(struct roster *r, uint64_t (*fn)(const struct node *row, void *arg), void *arg)
{
	struct roster_entry *n;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	while ((n = map_next(&r->nodes, &it)) != NULL)
		if (n->node.row.standing == NODE_JOINED)
			n->node.wanted = fn(&n->node.row, arg);
	pthread_mutex_unlock(&r->lock);
}

uint64_t roster_lag(const struct roster_node *n)
{
	return n->wanted > n->applied.seq ? n->wanted - n->applied.seq : 0;
}

/* ---- walks ------------------------------------------------------------------------------------------------------- */

/* Copies of some entries, made under the lock, used without it. */
static struct roster_node *copy_if(struct roster *r,
	bool (*pick)(struct roster *r, struct roster_entry *n, uint64_t now_ms), uint64_t now_ms,
	void (*after)(struct roster *r), size_t *n)
{
	struct roster_node *list;
	struct roster_entry *one;
	size_t it = 0;

	*n = 0;
	pthread_mutex_lock(&r->lock);
	list = calloc(map_count(&r->nodes) + 1, sizeof *list);
	while (list != NULL && (one = map_next(&r->nodes, &it)) != NULL)
		if (pick(r, one, now_ms))
			list[(*n)++] = one->node;
	if (list != NULL && after != NULL)
		after(r);
	pthread_mutex_unlock(&r->lock);
	return list;
}

static void call_all(struct roster_node *list, size_t n, roster_fn fn, void *arg)
{
	for (size_t i = 0; i < n; i++)
		fn(&list[i], arg);
	free(list);
}

static bool reports_here(struct roster *r, struct roster_entry *n, uint64_t now_ms)
{
	(void)r, (void)now_ms;
	return n->told_ms != 0;
}

void roster_loads(struct roster *r, roster_fn fn, void *arg)
{
	size_t n;
	struct roster_node *list = copy_if(r, reports_here, 0, NULL, &n);

	call_all(list, n, fn, arg);
}

static bool falls_silent(struct roster *r, struct roster_entry *n, uint64_t now_ms)
{
	/* a word may be newer than now_ms, which was taken before that was heard */
	if (!n->awaited || now_ms < n->heard_ms + r->offline_ms)
		return false;
	n->awaited = false;
	n->dirty = true;
	roster_set_online(r, n, false);
	return true;
}

void roster_tick(struct roster *r, uint64_t now_ms, roster_fn fn, void *arg)
{
	size_t n;
	struct roster_node *list = copy_if(r, falls_silent, now_ms, NULL, &n);

	call_all(list, n, fn, arg);
}

static bool is_dirty(struct roster *r, struct roster_entry *n, uint64_t now_ms)
{
	(void)r, (void)now_ms;
	return n->dirty && n->node.here;
}

static void forget_dirty(struct roster *r)
{
	struct roster_entry *n;
	size_t it = 0;

	while ((n = map_next(&r->nodes, &it)) != NULL)
		n->dirty = n->node.claim = false;
	r->claims = 0;
}

void roster_flush(struct roster *r, roster_fn fn, void *arg)
{
	size_t n;
	struct roster_node *list = copy_if(r, is_dirty, 0, forget_dirty, &n);

	call_all(list, n, fn, arg);
}
