#include "relayd/tunnel/agent_link.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/net/allow.h"
#include "common/tunnel/carrier.h"
#include "relayd/tunnel/friends.h"
#include "relayd/tunnel/registry.h"
#include "relayd/tunnel/visits.h"
#include "relayd/tunnel/watch.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_SOON_MS  1000
#define RETRY_LATER_MS 15000
#define AGAIN_NS       UINT64_C(1000000000) /* at least, between two of a link's further greetings */

static struct agent_link *agent_of(struct tunnel_link *l)
{
	return CONTAINER_OF(l, struct agent_link, link);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void leave_seat(struct agent_link *a)
{
	if (a->seat != NULL && a->hello.role == FRAME_FOR_ONE)
		list_remove(&a->in_seat);
	else if (a->seat != NULL)
		seat_remove(a->table, a->seat, &a->in_seat);
	a->seat = NULL;
}

static void leave_greeting(struct agent_link *a)
{
	a->table->n_greeting -= a->greeting;
	a->greeting = false;
}

static void on_closed(struct tunnel_link *l, const char *why)
{
	struct agent_link *a = agent_of(l);
	struct agent_table *t = a->table;

	leave_seat(a);
	leave_greeting(a);
	if (a->registered) {
		registry_leave(t->registry, &a->hello, a->worker);
		if (agent_table_may_tell(t))
			log_info("agent_link_down", log_s("client", a->hello.client),
				log_s("instance", a->hello.instance), log_s("reason", why));
	} else {
		agent_count(&t->counts.failed);
		log_debug("agent_link_failed", log_s("reason", why));
	}
	__atomic_store_n(&t->counts.links, t->counts.links - 1, __ATOMIC_RELAXED);
	list_remove(&a->in_table);
	list_remove(&a->move.link);
	standings_fini(&a->standings);
	standings_fini(&a->shut);
	free(a->early);
	free(a);
}

void agent_link_refuse(struct agent_link *a, uint16_t code, uint32_t retry_ms, const char *reason)
{
	struct frame_end end = { .code = code, .retry_ms = retry_ms };

	str_copy(end.reason, sizeof end.reason, reason);
	leave_seat(a);
	frame_end_put(&a->link.mux.out, FRAME_REFUSED, 0, &end);
	tunnel_link_close_after(&a->link, reason);
}

void agent_link_dismiss(struct agent_link *a, const char *reason)
{
	leave_seat(a);
	tunnel_link_close_after(&a->link, reason);
}

void agent_link_go_away(struct agent_link *a, uint32_t within_ms)
{
	struct frame_end end = { .code = ERR_UNAVAILABLE, .retry_ms = within_ms, .reason = "this relay is going" };

	leave_seat(a);
	if (a->link.state != TUNNEL_UP)
		return;
	frame_end_put(&a->link.mux.out, FRAME_GOAWAY, 0, &end);
	tunnel_link_flush(&a->link);
}

/* ---- who it is ---------------------------------------------------------------------------------------------------- */

static bool signed_with(const struct client_key *k, const struct buf *message, const uint8_t *signature)
{
	struct key *key;
	bool good;

	if (key_from_public(&key, k->public_key, NULL) != 0)
		return false;
	good = key_verify(key, message->data, message->len, signature);
	key_free(key);
	return good;
}

/* One of the client's keys that are good now made this signature, over this very TLS session. */
static bool is_genuine(struct agent_link *a, const struct client_conf *conf, const struct frame_hello *h)
{
	uint8_t exported[FRAME_EXPORTED];
	int64_t now = clock_wall_ms();
	bool good = false;
	struct buf b;

	if (tunnel_link_export(&a->link, exported) != 0)
		return false;
	buf_init(&b, FRAME_CONTROL_MAX);
	frame_hello_signed(h, exported, &b);
	for (uint32_t i = 0; i < conf->n_keys && !good; i++) {
		const struct client_key *k = &conf->keys[i];

		if (b.failed || (k->not_after_ms != 0 && now >= k->not_after_ms))
			continue;
		good = signed_with(k, &b, h->signature);
		if (good)
			memcpy(a->key, k->public_key, sizeof a->key);
	}
	buf_free(&b);
	return good;
}

static bool may_connect(const struct client_conf *c, int64_t wall_ms)
{
	return c->enabled && (c->expires_ms == 0 || wall_ms < c->expires_ms);
}

bool agent_link_may_stay(const struct agent_link *a, int64_t wall_ms)
{
	const struct seat *s = agent_table_seat(a->table, a->hello.client);
	const struct client_conf *c;

	if (s == NULL || s->object == NULL || !may_connect(&s->object->client, wall_ms))
		return false;
	c = &s->object->client;
	for (uint32_t i = 0; i < c->n_keys; i++)
		if (memcmp(c->keys[i].public_key, a->key, sizeof a->key) == 0)
			return c->keys[i].not_after_ms == 0 || wall_ms < c->keys[i].not_after_ms;
	return false;
}

/* ---- coming in ---------------------------------------------------------------------------------------------------- */

static uint32_t ping_ms_of(const struct agent_link *a)
{
	const struct client_conf *c = &a->seat->object->client;

	return c->heartbeat_s != 0 ? MIN(c->heartbeat_s, 3600) * 1000 : a->table->conf->ping_ms;
}

void agent_link_tell_rules(struct agent_link *a)
{
	const struct frame_rules r = { .ping_ms = ping_ms_of(a), .reconnect = a->seat->object->client.reconnect };

	if (a->link.state != TUNNEL_UP || a->link.last_words)
		return;
	tunnel_link_set_ping(&a->link, r.ping_ms);
	frame_rules_put(&a->link.mux.out, &r);
	tunnel_link_flush(&a->link);
}

/*
 * On the worker that serves it from now on. The configuration may have changed since its signature was checked; and what a
 * later start cut meanwhile was the links that stood on a worker.
 */
static void welcome(struct agent_link *a)
{
	struct agent_table *t = a->table;
	struct frame_welcome w = { .links = (uint16_t)t->n_all,
		.window = MUX_WINDOW,
		.backoff_ms = t->conf->backoff_ms,
		.lane = (uint16_t)t->worker->index };
	struct seat *s = agent_table_seat(t, a->hello.client);

	if (t->quiet || s == NULL || !agent_link_may_stay(a, clock_wall_ms())) {
		agent_link_refuse(a, ERR_UNAVAILABLE, RETRY_SOON_MS, "this relay is not ready for the client");
		return;
	}
	if (!registry_is_latest(t->registry, &a->hello)) {
		agent_link_refuse(a, ERR_CONFLICT, 0, "a later start of this instance is connected");
		return;
	}
	a->seat = s;
	a->agent = (uint32_t)map_hash(a->hello.instance, strlen(a->hello.instance));
	str_copy(w.node, sizeof w.node, t->node);
	w.ping_ms = ping_ms_of(a);
	frame_welcome_put(&a->link.mux.out, &w);
	tunnel_link_up(&a->link, w.ping_ms);
	agent_link_tell_rules(a);
	agent_count(&t->counts.greeted);
	if (agent_table_may_tell(t))
		log_info("agent_link_up", log_s("client", a->hello.client), log_s("instance", a->hello.instance),
			log_u("worker", t->worker->index));
	if (a->hello.role == FRAME_FOR_ONE) {
		reserve_put(s, a);
		return;
	}
	if (s->reserve.told != 0)
		reserve_tell(s, a);
	seat_add(t, s, &a->in_seat);
	watches_ask(a);
	visits_offer(a);
}

static void on_arrived(struct task *task)
{
	struct agent_link *a = CONTAINER_OF(task, struct agent_link, move);
	struct agent_table *t = &a->table->all[a->worker];

	a->table = t;
	list_push_back(&t->links, &a->in_table);
	__atomic_store_n(&t->counts.links, t->counts.links + 1, __ATOMIC_RELAXED);
	tunnel_link_enter(&a->link, t->worker, &t->desk);
	if (a->link.state != TUNNEL_CLOSED)
		welcome(a);
}

/* At the end of the round, when nothing of this worker is on the link's stack. */
static void on_leaving(struct task *task)
{
	struct agent_link *a = CONTAINER_OF(task, struct agent_link, move);
	struct agent_table *t = a->table;

	if (a->link.state == TUNNEL_CLOSED)
		return;
	list_remove(&a->in_table);
	__atomic_store_n(&t->counts.links, t->counts.links - 1, __ATOMIC_RELAXED);
	tunnel_link_leave(&a->link);
	task_init(&a->move, on_arrived);
	worker_post(t->all[a->worker].worker, &a->move);
}

struct cutting {
	struct task task;
	struct agent_table *table;
	struct frame_hello hello;
};

static void on_cutting(struct task *task)
{
	struct cutting *c = CONTAINER_OF(task, struct cutting, task);

	agent_table_cut_before(c->table, &c->hello);
	free(c);
}

/* What an earlier run of this agent left behind ends now, on every worker, not when somebody notices its silence. */
static void take_over(struct agent_link *a)
{
	struct agent_table *t = a->table;

	agent_count(&t->counts.taken_over);
	for (unsigned i = 0; i < t->n_all; i++) {
		struct cutting *c = malloc(sizeof *c);

		if (c == NULL)
			continue; /* its pings will end it */
		*c = (struct cutting){ .table = &t->all[i], .hello = a->hello };
		task_init(&c->task, on_cutting);
		worker_post(c->table->worker, &c->task);
	}
}

static void enter(struct agent_link *a, bool single)
{
	static const struct {
		uint16_t code;
		uint32_t retry_ms;
		const char *reason;
	} refusals[] = {
		[REGISTRY_OUTDATED] = { ERR_CONFLICT, 0, "a later start of this instance is connected" },
		[REGISTRY_TAKEN] = { ERR_CONFLICT, RETRY_LATER_MS, "another instance of this client is connected" },
		[REGISTRY_CROWDED] = { ERR_OVERLOADED, RETRY_LATER_MS,
			"this instance has enough links, or its client enough agents" },
		[REGISTRY_FULL] = { ERR_OVERLOADED, RETRY_LATER_MS,
			"this client's agents have as many links as agents.links_per_client of this relay allows" },
		[REGISTRY_NO_MEMORY] = { ERR_NOMEM, RETRY_SOON_MS, "out of memory" },
	};
	enum registry_answer answer = registry_enter(a->table->registry, &a->hello, &a->from, single, &a->worker);

	if (answer != REGISTRY_IN && answer != REGISTRY_TOOK_OVER) {
		agent_count(&a->table->counts.refused);
		if (answer == REGISTRY_FULL)
			agent_count(&a->table->counts.over);
		agent_link_refuse(a, refusals[answer].code, refusals[answer].retry_ms, refusals[answer].reason);
		return;
	}
	a->registered = true;
	leave_greeting(a);
	friends_add(a->table->friends, &a->from);
	if (answer == REGISTRY_TOOK_OVER)
		take_over(a);
	if (a->worker == a->table->worker->index) {
		welcome(a);
		return;
	}
	task_init(&a->move, on_leaving);
	worker_finish(a->table->worker, &a->move);
}

/*
 * Who is not known, or has another key, may be so for a moment only: a client that was just made, a secret that was just
 * replaced. So the first answer is "later", and agents end for good by what controld says of their secret.
 */
static void on_hello(struct agent_link *a)
{
	struct agent_table *t = a->table;
	const struct seat *s = agent_table_seat(t, a->hello.client);
	const struct client_conf *conf = s != NULL && s->object != NULL ? &s->object->client : NULL;

	if (t->quiet) {
		agent_link_refuse(a, ERR_UNAVAILABLE, RETRY_SOON_MS, "this relay is going");
	} else if (conf == NULL) {
		agent_count(&t->counts.refused);
		agent_link_refuse(a, ERR_NOT_FOUND, RETRY_SOON_MS + (uint32_t)rand_below(RETRY_SOON_MS),
			"this relay serves no such client");
	} else if (!is_genuine(a, conf, &a->hello)) {
		agent_count(&t->counts.refused);
		agent_link_refuse(
			a, ERR_AUTHENTICATION_FAILED, 0, "this secret or key is not one that the client has now");
	} else if (!may_connect(conf, clock_wall_ms())) {
		agent_count(&t->counts.refused);
		agent_link_refuse(a, ERR_FORBIDDEN, RETRY_LATER_MS, "the client is switched off or has expired");
	} else {
		enter(a, conf->single);
	}
}

/* Whoever is older may be renewed: it comes back. */
static void refuse_version(struct agent_link *a, int version)
{
	char reason[FRAME_REASON_SIZE];

	str_fmt(reason, sizeof reason,
		"this relay speaks version %d of links, this agent version %d; the older of them needs an upgrade",
		FRAME_VERSION, version);
	agent_count(&a->table->counts.refused);
	if (agent_table_may_tell(a->table))
		log_warn("agent_of_another_version", log_i("version", version), log_i("spoken_here", FRAME_VERSION));
	agent_link_refuse(a, ERR_PROTOCOL, RETRY_LATER_MS, reason);
}

/* Through a web server in front, if it is one of ours: where the agent is, in its words. */
static void settle_address(struct agent_link *a)
{
	struct addr real;

	if (a->link.carrier == NULL || a->table->proxies == NULL || !allow_has_addr(a->table->proxies, &a->from))
		return;
	if (addr_parse_ip(&real, carrier_forwarded(a->link.carrier), addr_port(&a->from)) == 0)
		a->from = real;
}

/*
 * The agent was given another secret or key: from now on that is what keeps the link here. What is not good leaves it with the
 * one that it came with, and is looked at once more when that one ends: an agent may hear of its new key before its relay does. Who is in may have few signatures checked.
 */
static int take_hello_again(struct agent_link *a, const struct frame_head *h, const uint8_t *payload)
{
	const struct seat *s = agent_table_seat(a->table, a->hello.client);
	const uint64_t now = a->table->worker->now_ns;
	struct frame_hello again;

	if (frame_hello_version(payload, h->n) != FRAME_VERSION || frame_hello_get(&again, payload, h->n) != 0 ||
		(a->again_ns != 0 && now - a->again_ns < AGAIN_NS))
		return -1;
	if (!str_eq(again.client, a->hello.client) || !str_eq(again.instance, a->hello.instance) ||
		again.epoch != a->hello.epoch || again.role != a->hello.role)
		return -1;
	a->again_ns = now;
	free(a->early);
	a->early = NULL;
	if (s == NULL || s->object == NULL || !is_genuine(a, &s->object->client, &again)) {
		log_warn("agent_key_not_taken", log_s("client", a->hello.client), log_s("instance", a->hello.instance));
		a->early = malloc(sizeof again);
		if (a->early != NULL)
			*a->early = again;
	}
	return 0;
}

bool agent_link_take_early(struct agent_link *a)
{
	const struct seat *s = agent_table_seat(a->table, a->hello.client);
	bool good = a->early != NULL && s != NULL && s->object != NULL && is_genuine(a, &s->object->client, a->early);

	free(a->early);
	a->early = NULL;
	return good;
}

static int take_hello(struct agent_link *a, const struct frame_head *h, const uint8_t *payload)
{
	int version = frame_hello_version(payload, h->n);

	if (a->link.state == TUNNEL_UP && !a->link.last_words)
		return take_hello_again(a, h, payload);
	if (a->link.state != TUNNEL_GREETING || a->registered || a->link.last_words || version < 0)
		return -1;
	if (version != FRAME_VERSION) {
		refuse_version(a, version);
		return 0;
	}
	if (frame_hello_get(&a->hello, payload, h->n) != 0)
		return -1;
	settle_address(a);
	on_hello(a);
	return 0;
}

static void on_secured(struct tunnel_link *l)
{
	(void)l; /* the agent speaks first */
}

/* Its one connection has ended. */
static void on_idle(struct tunnel_link *l)
{
	struct agent_link *a = agent_of(l);

	if (a->hello.role == FRAME_FOR_ONE && a->seat != NULL && !l->last_words)
		reserve_put(a->seat, a);
}

static int on_control(struct tunnel_link *l, const struct frame_head *h, const uint8_t *payload)
{
	struct agent_link *a = agent_of(l);
	struct frame_end end;

	switch (h->type) {
	case FRAME_HELLO:
		return take_hello(a, h, payload);
	case FRAME_HEALTH:
		return watches_hear(a, h, payload);
	case FRAME_GOAWAY: /* no new streams to this agent */
		if (l->state != TUNNEL_UP || frame_end_get(&end, payload, h->n) != 0)
			return -1;
		leave_seat(a);
		return 0;
	default:
		return -1;
	}
}

static void on_open(struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	visits_take(agent_of(l), id, o);
}

static const struct tunnel_link_ops ops = {
	.on_secured = on_secured,
	.on_open = on_open,
	.on_control = on_control,
	.on_idle = on_idle,
	.on_closed = on_closed,
};

void agent_link_open(struct agent_table *t, int fd, const struct addr *from)
{
	struct agent_link *a = calloc(1, sizeof *a);
	struct err e;

	if (a == NULL || t->tls == NULL) {
		struct io io;

		io_init(&io, NULL, fd);
		io_close(&io);
		free(a);
		return;
	}
	a->table = t;
	a->from = *from;
	list_init(&a->in_seat);
	list_init(&a->in_table);
	standings_init(&a->standings);
	standings_init(&a->shut);
	task_init(&a->move, on_leaving);
	if (tunnel_link_start(&a->link, t->worker, &t->desk, t->tls, true, fd, &ops, &e) != 0) {
		log_warn("agent_link_failed", log_err(&e));
		agent_count(&t->counts.failed);
		free(a);
		return;
	}
	a->greeting = true;
	t->n_greeting++;
	list_push_back(&t->links, &a->in_table);
	__atomic_store_n(&t->counts.links, t->counts.links + 1, __ATOMIC_RELAXED);
}
