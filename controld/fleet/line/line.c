#include "controld/fleet/line/line.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/gate.h"
#include "controld/fleet/line/grants.h"
#include "controld/fleet/line/line_ca.h"
#include "controld/fleet/line/line_room.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/model_reader.h"
#include "controld/fleet/line/presence.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/loop/pool.h"
#include "controld/store/changes.h"
#include "controld/tunnels/mapping_status.h"
#include "proto/node_state.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define TICK_MS        1000
#define RETRY_MS       100 /* after the log could not be read */
#define FETCH_MS       10000
#define STALL_MS       3000 /* the thread turns every second */
#define RECALL_MAX     4096 /* changes read back at the start */
#define STRANGER_MS    10000
#define JOINS_QUEUE    256
#define CONTEXTS_SPARE 256

/* ---- the change log ---------------------------------------------------------------------------------------------- */

static uint64_t wanted_by(const struct node *row, void *arg)
{
	const struct line *l = arg;
	const struct model_relay r = { .node = row->id, .group = row->group_id, .placed = (uint64_t)row->placed_seq };

	return model_head(l->model, &r);
}

static void catch_up(struct line *l)
{
	struct err e;
	int rc = model_reader_catch_up(l->reader, &e);

	line_ca_follow(l);
	l->behind = rc < 0;
	if (rc < 0) {
		l->retry_ms = clock_mono_ms() + RETRY_MS;
		log_warn("change_log_not_read", log_err(&e));
	}
	if (model_changes(l->model) == l->changes)
		return;
	l->changes = model_changes(l->model);
	polls_wake(l->polls, clock_mono_ms());
	roster_want(l->conf.roster, wanted_by, l);
}

/* The node is revoked or gone: nothing of it stays. */
static void forget_node(struct line *l, const char *id)
{
	mapping_statuses_node_gone(l->conf.statuses, id);
	line_clients_gone(l, id);
	asks_node_lost(l->conf.asks, id);
	polls_forget(l->polls, id, clock_mono_ms());
	link_server_close_node(l->link, id);
}

static void on_node(const char *id, const struct node *before, const struct node *now, void *arg)
{
	struct line *l = arg;
	struct roster_node n;

	if (now == NULL || now->standing != NODE_JOINED) {
		forget_node(l, id);
		return;
	}
	roster_want(l->conf.roster, wanted_by, l);
	if (before != NULL && before->joined_ms != now->joined_ms)
		link_server_close_node(l->link, id); /* bound to another machine */
	if (before != NULL && strcmp(before->group_id, now->group_id) != 0 && roster_get(l->conf.roster, id, &n)) {
		line_tell_statuses(l, &n, &(struct node_state){ .n = 0 });
		polls_wake_node(l->polls, &(struct polls_place){ id, now->group_id, (uint64_t)now->placed_seq },
			clock_mono_ms());
	}
}

static void on_ca(void *arg)
{
	line_ca_moved(arg);
}

static void on_settled(void *owner)
{
	catch_up(owner);
}

static void open_log_moved(struct letter *letter)
{
	catch_up(CONTAINER_OF(letter, struct line, log_moved));
}

/* The store's writer. */
static void on_commit(int64_t last_seq, void *arg)
{
	struct line *l = arg;

	(void)last_seq;
	mailbox_post(l->mailbox, &l->log_moved);
}

/* ---- asks -------------------------------------------------------------------------------------------------------- */

static void on_due(const char *node, void *arg)
{
	struct line *l = arg;

	polls_wake_node(l->polls, &(struct polls_place){ .node = node }, clock_mono_ms());
}

void line_give_asks(struct line *l)
{
	asks_due(l->conf.asks, clock_mono_ms(), on_due, l);
}

static void open_asks_opened(struct letter *letter)
{
	struct line *l = CONTAINER_OF(letter, struct line, asks_opened);

	line_peers_asks(l);
	line_give_asks(l);
}

void line_wake(struct line *l)
{
	mailbox_post(l->mailbox, &l->asks_opened);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void publish_stats(struct line *l)
{
	struct line_stats s = {
		.at_ms = clock_mono_ms(),
		.objects = model_count(l->model),
		.revision = model_revision(l->model).seq,
		.refused_rate = l->refused_rate,
		.malformed = l->malformed,
		.moved = l->moved,
		.events_lost = presence_lost(l->presence),
	};

	polls_stats(l->polls, &s.polls);
	reports_stats(l->reports, &s.reports);
	joins_stats(l->joins, &s.joins);
	link_server_stats(l->link, &s.link);
	line_ca_stats(l, &s.ca);
	pthread_mutex_lock(&l->stats_lock);
	if (!line_ca_shown(l)) /* who waits for us to have read that change waits for what we show */
		s.revision = l->stats.revision;
	l->stats = s;
	pthread_mutex_unlock(&l->stats_lock);
}

/* A process that was stopped, or a machine that slept, has not heard that anybody was silent. */
static void note_turn(struct line *l, uint64_t now_ms)
{
	uint64_t still_ms = now_ms - l->turned_ms;

	if (l->turned_ms != 0 && still_ms > STALL_MS) {
		log_warn("line_stood_still", log_u("ms", still_ms));
		roster_forgive(l->conf.roster, now_ms);
		line_peer(l, LINE_PEER_GAP, NULL, NULL, 0); /* the others may have taken us for dead */
	}
	l->turned_ms = now_ms;
}

/* What time brings; answers when to look again. */
static uint64_t tick(struct line *l, uint64_t now_ms)
{
	uint64_t next = asks_tick(l->conf.asks, now_ms);

	note_turn(l, now_ms);
	if (l->behind && now_ms >= l->retry_ms)
		catch_up(l);
	if (now_ms >= l->tick_ms) {
		l->tick_ms = now_ms + TICK_MS;
		roster_tick(l->conf.roster, now_ms, line_on_offline, l);
		link_server_tick(l->link, now_ms);
		line_peers_asks(l);
		line_give_asks(l);
		presence_tick(l->presence, now_ms);
		line_peers_balance(l, now_ms);
		line_ca_tick(l, now_ms);
		publish_stats(l);
	}
	next = MIN(next, polls_tick(l->polls, now_ms));
	next = MIN(next, line_peers_tick(l, now_ms));
	next = MIN(next, l->tick_ms);
	return l->behind ? MIN(next, l->retry_ms) : next;
}

static void open_stop(struct letter *letter)
{
	CONTAINER_OF(letter, struct line, stop)->stopping = true;
}

static void *work_line(void *arg)
{
	struct line *l = arg;

	prctl(PR_SET_NAME, "fleet");
	while (!l->stopping)
		mailbox_wait(l->mailbox, tick(l, clock_mono_ms()));
	return NULL;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

int line_new(struct line **out, const struct line_conf *c, struct err *e)
{
	struct line *l = calloc(1, sizeof *l);

	if (l == NULL)
		return err_set(e, ERR_NOMEM, NULL, "line: out of memory");
	l->conf = *c;
	l->balance.after_ms = c->balance_ms;
	pthread_mutex_init(&l->stats_lock, NULL);
	buf_init(&l->message, PROTO_MSG_MAX);
	letter_init(&l->log_moved, open_log_moved);
	letter_init(&l->asks_opened, open_asks_opened);
	letter_init(&l->stop, open_stop);
	line_peers_init(l);
	if (mailbox_new(&l->mailbox, e) != 0 || line_ca_new(l, e) != 0) {
		(void)line_free(l);
		return -1;
	}
	changes_on_commit(c->store, on_commit, l);
	*out = l;
	return 0;
}

static int start_workers(struct line *l, struct err *e)
{
	const struct pool_conf storer = { "fleet-reports", 1, 1 };
	const struct pool_conf desk = { "fleet-desk", 1, JOINS_QUEUE };

	return pool_new(&l->storer, &storer, e) != 0 || pool_new(&l->desk, &desk, e) != 0 ? -1 : 0;
}

static void on_reply(void *owner, void *request, const struct buf *message)
{
	(void)owner;
	link_request_reply(request, message);
}

static void on_drop(void *owner, void *request)
{
	(void)owner;
	link_request_drop(request);
}

static int start_model(struct line *l, struct err *e)
{
	static const struct polls_ops polls_ops = { on_reply, on_drop };
	const struct model_reader_conf reader = {
		.store = l->conf.store,
		.roster = l->conf.roster,
		.changes_max = l->conf.changes_max,
		.recall_max = MIN(RECALL_MAX, l->conf.changes_max),
		.on_node = on_node,
		.on_ca = on_ca,
		.arg = l,
	};
	const struct polls_conf polls = {
		.wait_ms = l->conf.poll_wait_ms,
		.snapshots_max = l->conf.snapshots_max,
		.fetch_ms = FETCH_MS,
		.behind_max = reader.recall_max / 2,
		.ops = &polls_ops,
		.owner = l,
	};

	if (model_reader_new(&l->reader, &reader, e) != 0)
		return -1;
	l->model = model_reader_model(l->reader);
	return polls_new(&l->polls, &polls, l->model, l->conf.asks, e);
}

static int start_desks(struct line *l, struct err *e)
{
	static const struct reports_ops reports_ops = { on_reply, on_drop };
	static const struct joins_ops joins_ops = { on_settled, on_reply };
	const struct reports_conf reports = { l->conf.store, l->storer, l->mailbox, &reports_ops, l };
	const struct joins_conf joins = {
		.store = l->conf.store,
		.worker = l->desk,
		.mailbox = l->mailbox,
		.roster = l->conf.roster,
		.cert_days = l->conf.cert_days,
		.ops = &joins_ops,
		.owner = l,
	};
	const struct presence_conf presence = { l->conf.store, l->desk, l->mailbox, l->conf.roster, l->conf.self };
	const struct gate_conf gate = { l->conf.join_rate, l->conf.join_rate_all };

	if (reports_new(&l->reports, &reports, e) != 0 || grants_new(&l->grants, &reports, e) != 0 ||
		joins_new(&l->joins, &joins, e) != 0 || gate_new(&l->gate, &gate, clock_mono_ns(), e) != 0)
		return -1;
	return presence_new(&l->presence, &presence, e);
}

/* A quarter of the descriptors: half are for the API, the rest for relays that are there. */
static size_t handshakes_max(void)
{
	struct rlimit fds;

	return getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur != RLIM_INFINITY ? fds.rlim_cur / 4 : SIZE_MAX;
}

static int start_link(struct line *l, struct err *e)
{
	static const struct link_server_ops ops = { line_on_admit, line_on_request, line_on_lost };
	struct link_server_conf link = {
		.listen = l->conf.listen,
		.contexts_max = 2 * (size_t)l->conf.relays_max + CONTEXTS_SPARE,
		.peers_max = 2 * (size_t)l->conf.relays_max + CONTEXTS_SPARE,
		.handshakes_max = handshakes_max(),
		.strangers_max = l->conf.strangers_max,
		.strangers_per_source = l->conf.strangers_per_address,
		.strangers_here = l->conf.strangers_max,
		.stranger_ms = STRANGER_MS,
		.ops = &ops,
		.owner = l,
		.mailbox = l->mailbox,
	};
	struct ca_listener own;
	int rc;

	if (line_ca_listener(l, &own, e) != 0)
		return -1;
	link.certs = (struct link_server_certs){ own.chain_pem, own.key_pem, own.trust_pem };
	rc = link_server_open(&l->link, &link, e);
	ca_listener_fini(&own);
	return rc;
}

int line_start(struct line *l, struct err *e)
{
	int rc;

	if (start_workers(l, e) != 0 || start_model(l, e) != 0 || start_desks(l, e) != 0 || start_link(l, e) != 0)
		return -1;
	l->port = link_server_port(l->link);
	publish_stats(l);
	rc = pthread_create(&l->thread, NULL, work_line, l);
	if (rc != 0)
		return err_set_sys(e, ERR_INTERNAL, rc, "line: start a thread");
	l->running = true;
	return 0;
}

/*
 * The thread first, then the workers: what they finished is still answered. The link goes last of all that holds its
 * requests.
 */
void line_stop(struct line *l)
{
	if (l->ended)
		return;
	l->ended = true;
	changes_off_commit(l->conf.store, l);
	if (l->running) {
		mailbox_post(l->mailbox, &l->stop);
		pthread_join(l->thread, NULL);
	}
	l->stopping = true;
	if (l->reports != NULL)
		reports_end(l->reports);
	if (l->grants != NULL)
		grants_end(l->grants);
	pool_free(l->storer);
	pool_free(l->desk);
	if (l->link != NULL)
		mailbox_drain(l->mailbox);
	polls_free(l->polls);
	reports_free(l->reports);
	grants_free(l->grants);
	l->left_behind = !link_server_close(l->link);
}

bool line_free(struct line *l)
{
	if (l == NULL)
		return true;
	line_stop(l);
	joins_free(l->joins);
	presence_free(l->presence);
	gate_free(l->gate);
	model_reader_free(l->reader);
	line_peers_fini(l);
	line_ca_free(l);
	buf_free(&l->message);
	if (l->left_behind)
		return false;
	mailbox_free(l->mailbox);
	pthread_mutex_destroy(&l->stats_lock);
	free(l);
	return true;
}

uint16_t line_port(const struct line *l)
{
	return l->port;
}

void line_stats(struct line *l, struct line_stats *out)
{
	pthread_mutex_lock(&l->stats_lock);
	*out = l->stats;
	pthread_mutex_unlock(&l->stats_lock);
}
