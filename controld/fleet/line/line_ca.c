/*
 * When the fleet's CA is followed by another (controld/fleet/ca.h): the listener shows that one, the nodes that are here are
 * asked for new certificates, who came with one is written down, and when all have, the one before is retired.
 *
 * Everything is read from the rows, so it goes on after a restart, and at each of several controlds for its own nodes.
 */
#include "controld/fleet/line/line_ca.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/line_room.h"
#include "controld/fleet/node_cert.h"
#include "controld/fleet/who.h"
#include "controld/loop/pool.h"
#include "controld/store/store.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS  1000 /* while one that is here is waited for */
#define IDLE_MS  5000 /* while those that are behind are away */
#define RETRY_MS 1000
#define AGAIN_MS 30000 /* a node is asked again after this */
#define ASK_MAX  64    /* nodes, at one look: each makes its certificate on a queue that joins need as well */

/* A node that is behind. */
struct laggard {
	struct asks_node node;
	int64_t issued; /* step of its newest certificate; -1: none */
	bool here;
	bool came; /* with a certificate of this step */
};

struct line_ca {
	struct line *line;
	bool moved;        /* the log says so, and the listener does not show it yet */
	int64_t step;      /* that the listener shows */
	uint64_t retry_ms; /* after it could not be changed */
	uint64_t look_ms;  /* when to look next */
	struct map asked;  /* struct asked, by node */
	uint64_t behind;   /* as of the last look */
	int64_t ends_ms;
	bool strays_due;  /* connections by the CA before are still to be looked for */
	bool busy, again; /* a look is under way; and by then there is something new */
	/* the worker's while busy */
	struct pool_job job;
	struct letter done;
	struct link_server_node *here;
	size_t n_here;
	bool find_strays; /* among these, though nodes are behind */
	struct laggard *behind_list;
	size_t n_behind, cap_behind, n_here_behind;
	struct ca_state state;
	bool controlds_ready, failed;
};

struct asked {
	char node[PROTO_ID_SIZE];
	uint64_t at_ms;
};

static void work_look(struct pool_job *job);
static void on_looked(struct letter *l);

int line_ca_new(struct line *l, struct err *e)
{
	struct line_ca *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "line: out of memory");
	c->line = l;
	map_init(&c->asked);
	list_init(&c->job.node);
	c->job.work = work_look;
	letter_init(&c->done, on_looked);
	l->ca = c;
	return 0;
}

static void forget_asked(struct line_ca *c)
{
	struct asked *a;
	size_t it = 0;

	while ((a = map_next(&c->asked, &it)) != NULL)
		free(a);
	map_free(&c->asked);
	map_init(&c->asked);
}

void line_ca_free(struct line *l)
{
	if (l->ca == NULL)
		return;
	forget_asked(l->ca);
	map_free(&l->ca->asked);
	free(l->ca->here);
	free(l->ca->behind_list);
	free(l->ca);
	l->ca = NULL;
}

void line_ca_stats(const struct line *l, struct line_ca_stats *out)
{
	*out = (struct line_ca_stats){ (uint64_t)l->ca->step, l->ca->behind, (uint64_t)(l->ca->ends_ms / 1000) };
}

/* ---- what the listener shows -------------------------------------------------------------------------------------- */

int line_ca_listener(struct line *l, struct ca_listener *out, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(l->conf.store, &db, e) != 0)
		return -1;
	rc = ca_issue_listener(db, l->conf.names, clock_wall_ms(), out, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	l->ca->step = out->step;
	l->ca->ends_ms = out->not_after_ms;
	return 0;
}

void line_ca_moved(struct line *l)
{
	l->ca->moved = true;
	l->ca->retry_ms = 0;
}

bool line_ca_shown(const struct line *l)
{
	return !l->ca->moved;
}

void line_ca_follow(struct line *l)
{
	struct line_ca *c = l->ca;
	struct ca_listener own;
	struct err e;

	if (!c->moved || clock_mono_ms() < c->retry_ms)
		return;
	if (line_ca_listener(l, &own, &e) != 0) {
		c->retry_ms = clock_mono_ms() + RETRY_MS;
		log_warn("fleet_ca_not_read", log_err(&e));
		return;
	}
	if (link_server_change(l->link, &(struct link_server_certs){ own.chain_pem, own.key_pem, own.trust_pem }, &e) ==
		0) {
		c->moved = false;
		c->look_ms = 0;
		c->again = c->strays_due = true;
		forget_asked(c);
		log_info("fleet_ca_shown", log_i("step", c->step));
	} else {
		c->retry_ms = clock_mono_ms() + RETRY_MS;
		log_warn("fleet_ca_not_shown", log_err(&e));
	}
	ca_listener_fini(&own);
}

/* ---- a look, on the worker ---------------------------------------------------------------------------------------- */

static int on_behind(const struct ca_node *n, void *arg)
{
	struct line_ca *c = arg;
	struct laggard *one;

	if (c->n_behind == c->cap_behind) {
		const size_t cap = c->cap_behind == 0 ? 64 : 2 * c->cap_behind;
		struct laggard *list = realloc(c->behind_list, cap * sizeof *list);

		if (list == NULL)
			return -1;
		c->behind_list = list;
		c->cap_behind = cap;
	}
	one = &c->behind_list[c->n_behind++];
	*one = (struct laggard){ .issued = n->issued };
	str_copy(one->node.id, sizeof one->node.id, n->id);
	str_copy(one->node.name, sizeof one->node.name, n->name);
	return 0;
}

static int on_late_controld(const char *name, void *arg)
{
	(void)name;
	((struct line_ca *)arg)->controlds_ready = false;
	return 1;
}

static int compare_here(const void *a, const void *b)
{
	return strcmp(((const struct link_server_node *)a)->id, ((const struct link_server_node *)b)->id);
}

/* The first of its connections; there may be several, one after the other. */
static size_t first_here(const struct line_ca *c, const char *id)
{
	size_t low = 0, high = c->n_here;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (strcmp(c->here[mid].id, id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_of(const struct line_ca *c, size_t i, const char *id)
{
	return i < c->n_here && str_eq(c->here[i].id, id);
}

/*
 * Connections that were made while the CA before was trusted, by a certificate that was not given by the one of now. Looked for when
 * it has been retired, and once more at the end, as a handshake may have been under way.
 */
static int read_strays(struct line_ca *c, struct db *db, struct err *e)
{
	if (ca_rotating(&c->state) || c->state.step == 0 || (!c->find_strays && c->n_behind > 0))
		return 0;
	for (size_t i = 0; i < c->n_here; i++) {
		const int good = node_cert_is_good(db, c->here[i].id, c->here[i].serial, c->state.step - 1, e);

		if (good < 0)
			return -1;
		c->here[i].stray = good == 0;
	}
	return 0;
}

static int read_behind(struct line_ca *c, struct err *e)
{
	struct db *db;
	int rc;

	c->n_behind = c->n_here_behind = 0;
	c->controlds_ready = true;
	if (store_read_begin(c->line->conf.store, &db, e) != 0)
		return -1;
	rc = ca_state(db, &c->state, e);
	if (rc == 0)
		rc = ca_nodes_behind(db, c->state.step, "", UINT32_MAX, on_behind, c, e);
	if (rc == 0 && c->n_behind == 0 && ca_rotating(&c->state))
		rc = ca_controlds_behind(db, c->state.now.seq, on_late_controld, c, e);
	if (rc == 0)
		rc = read_strays(c, db, e);
	store_read_end(db);
	for (size_t i = 0; i < c->n_behind; i++) {
		struct laggard *one = &c->behind_list[i];

		one->here = is_of(c, first_here(c, one->node.id), one->node.id);
		c->n_here_behind += one->here && one->issued >= c->state.step;
	}
	return rc;
}

/* Those that have a new certificate and are connected: by it? */
static int work_use(struct db *tx, void *arg, struct err *e)
{
	struct line_ca *c = arg;
	const int64_t now_ms = clock_wall_ms();
	int64_t step;

	for (size_t i = 0; i < c->n_behind; i++) {
		struct laggard *one = &c->behind_list[i];

		one->came = false;
		if (!one->here || one->issued < c->state.step)
			continue;
		for (size_t at = first_here(c, one->node.id); is_of(c, at, one->node.id); at++) {
			if (node_cert_use(tx, one->node.id, c->here[at].serial, now_ms, &step, e) != 0)
				return -1;
			one->came = one->came || step >= c->state.step;
		}
	}
	return 0;
}

static int work_retire(struct db *tx, void *arg, struct err *e)
{
	const struct who who = { "system", "", clock_wall_ms() };

	return ca_retire(tx, false, &who, &((struct line_ca *)arg)->state, e);
}

/* Another controld, or a person, may have been quicker; a relay or a controld may have come: the next look tells. */
static void retire(struct line_ca *c)
{
	struct err e;

	/* The log tells the line of it, as of any other's. */
	if (store_write(c->line->conf.store, STORE_LOGGED, work_retire, c, &e) == 0)
		log_info("fleet_ca_retired", log_s("ca", c->state.before.fingerprint));
	else if (e.code != ERR_CONFLICT)
		log_warn("fleet_ca_not_retired", log_err(&e));
}

static void work_look(struct pool_job *job)
{
	struct line_ca *c = CONTAINER_OF(job, struct line_ca, job);
	struct err e;
	int rc;

	qsort(c->here, c->n_here, sizeof c->here[0], compare_here);
	rc = read_behind(c, &e);
	if (rc == 0 && c->n_here_behind > 0)
		rc = store_write(c->line->conf.store, STORE_OPERATIONAL, work_use, c, &e);
	c->failed = rc != 0;
	if (rc != 0)
		log_warn("fleet_ca_not_looked_at", log_err(&e));
	else if (ca_rotating(&c->state) && c->n_behind == 0 && c->controlds_ready)
		retire(c);
	mailbox_post(c->line->mailbox, &c->done);
}

/* ---- a look, on the line's thread --------------------------------------------------------------------------------- */

/* Whether it is time to ask this one; notes it. */
static bool may_ask(struct line_ca *c, const char *node, uint64_t now_ms)
{
	struct asked *a = map_get_str(&c->asked, node);

	if (a != NULL && now_ms < a->at_ms + AGAIN_MS)
		return false;
	if (a == NULL) {
		if ((a = calloc(1, sizeof *a)) == NULL)
			return false;
		str_copy(a->node, sizeof a->node, node);
		if (map_put_str(&c->asked, a->node, a, NULL) != 0) {
			free(a);
			return false;
		}
	}
	a->at_ms = now_ms;
	return true;
}

static void ask_for_renewal(struct line_ca *c, uint64_t now_ms)
{
	const struct ask what = { .kind = ASK_RENEW };
	struct asks_node nodes[ASK_MAX];
	struct err e;
	uint64_t id;
	size_t n = 0;

	for (size_t i = 0; i < c->n_behind && n < ASK_MAX; i++) {
		const struct laggard *one = &c->behind_list[i];

		if (one->here && !one->came && may_ask(c, one->node.id, now_ms))
			nodes[n++] = one->node;
	}
	if (n == 0)
		return;
	if (asks_open(c->line->conf.asks, &what, nodes, n, now_ms, &id, &e) != 0)
		log_warn("renewal_not_asked", log_err(&e));
	else
		line_give_asks(c->line);
}

/* A node that is connected by a certificate of a CA that was retired over its head. */
static void close_strays(struct line_ca *c)
{
	if (ca_rotating(&c->state) || c->state.step != c->step)
		return;
	for (size_t i = 0; i < c->n_behind; i++) {
		const struct laggard *one = &c->behind_list[i];

		if (one->here && one->issued < c->state.step - 1) {
			log_warn("node_left_behind", log_s("node", one->node.id), log_s("name", one->node.name),
				log_s("what_to_do",
					"its certificate is of a CA that was retired; join it again with a new token"));
			link_server_close_node(c->line->link, one->node.id);
		}
	}
}

/* Whoever is connected by a certificate that the CA of now has not given, whether its node has a good one or not. */
static void close_others(struct line_ca *c)
{
	if (c->state.step != c->step)
		return;
	for (size_t i = 0; i < c->n_here; i++) {
		if (!c->here[i].stray)
			continue;
		log_info("old_connection_closed", log_s("node", c->here[i].id), log_s("serial", c->here[i].serial));
		link_server_close_cert(c->line->link, &c->here[i]);
	}
}

/* When to look next, unless something happens: those that are here are waited for. */
static uint64_t next_look(const struct line_ca *c, uint64_t now_ms)
{
	bool waits = c->behind == 0; /* for controlds */

	if (c->again)
		return now_ms;
	if (c->behind == 0 && !ca_rotating(&c->state))
		return UINT64_MAX;
	for (size_t i = 0; i < c->n_behind && !waits; i++)
		waits = c->behind_list[i].here && !c->behind_list[i].came;
	return now_ms + (waits ? LOOK_MS : IDLE_MS);
}

static void on_looked(struct letter *l)
{
	struct line_ca *c = CONTAINER_OF(l, struct line_ca, done);
	const uint64_t now_ms = clock_mono_ms();

	c->busy = false;
	if (c->failed) {
		c->strays_due = c->strays_due || c->find_strays;
		c->look_ms = now_ms + IDLE_MS;
		return;
	}
	c->behind = 0;
	for (size_t i = 0; i < c->n_behind; i++)
		c->behind += !c->behind_list[i].came;
	close_strays(c);
	close_others(c);
	ask_for_renewal(c, now_ms);
	if (c->behind == 0)
		forget_asked(c);
	c->look_ms = next_look(c, now_ms);
}

void line_ca_came(struct line *l, uint64_t now_ms)
{
	if (l->ca->behind > 0)
		l->ca->look_ms = MIN(l->ca->look_ms, now_ms + LOOK_MS);
}

void line_ca_tick(struct line *l, uint64_t now_ms)
{
	struct line_ca *c = l->ca;
	struct err e;

	line_ca_follow(l);
	if (c->busy || c->moved || now_ms < c->look_ms)
		return;
	free(c->here);
	c->here = NULL;
	if (link_server_nodes(l->link, &c->here, &c->n_here, &e) != 0) {
		c->look_ms = now_ms + IDLE_MS;
		return;
	}
	c->busy = true;
	c->find_strays = c->strays_due;
	c->again = c->strays_due = false;
	pool_resume(l->desk, &c->job); /* one job at a time: it needs no limit */
}
