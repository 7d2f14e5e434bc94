#include "client/agent/agent.h"

#include "client/agent/credential.h"
#include "client/agent/instance.h"
#include "client/agent/relay/follow.h"
#include "client/agent/relay/http_proxy.h"
#include "client/agent/relay/relay.h"
#include "client/agent/target/checks.h"
#include "client/agent/target/lookout.h"
#include "client/agent/target/sessions.h"
#include "client/agent/visit/visit_socket.h"
#include "client/agent/visit/visits.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/crypto/key.h"
#include "common/crypto/tls.h"
#include "common/net/allow.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum agent_state { AGENT_RUNNING, AGENT_DRAINING, AGENT_OVER };

static const struct sm_state states[] = {
	[AGENT_RUNNING] = { "running", BIT(AGENT_DRAINING) | BIT(AGENT_OVER) },
	[AGENT_DRAINING] = { "draining", BIT(AGENT_OVER) },
	[AGENT_OVER] = { "over", 0 },
};

struct agent {
	int state;
	struct settings settings;
	const struct agent_events *events;
	void *arg;
	struct tunnel_desk desk;
	struct credential credential;
	struct http_proxy proxy;
	struct instance instance;
	struct sessions sessions;
	struct checks checks;
	struct lookout lookout;
	struct visits visits;
	struct uplink_env env;
	struct list relays;
	struct follow follow;
	char *told;         /* the relays that controld names; NULL: it has not said, and the settings' are used */
	bool ready;         /* a link was up */
	struct timer drain; /* then what is being retired is cut */
	struct task over;   /* on_over is told from here */
	enum command_exit code;
	char why[FRAME_REASON_SIZE];
	int64_t started_ms;
	uint64_t reloads;                       /* tried */
	char settings_error[FRAME_REASON_SIZE]; /* of the last one */
};

static struct relay *relay_in(struct list *in)
{
	return CONTAINER_OF(in, struct relay, in);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_tell_over(struct task *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, over);

	a->events->on_over(a->arg, a->code, a->why);
}

static void agent_over(struct agent *a, enum command_exit code, const char *why)
{
	if (a->state == AGENT_OVER)
		return;
	sm_move(states, &a->state, AGENT_OVER);
	a->code = code;
	str_copy(a->why, sizeof a->why, why);
	worker_again(a->env.worker, &a->over);
}

/* What every relay refuses for good is no matter of the network. A relay that merely does not answer may still take it. */
static void end_if_nothing_is_left(struct agent *a)
{
	const struct relay *last = NULL;

	LIST_FOREACH (it, &a->relays) {
		if (!relay_is_over(relay_in(it)))
			return;
		last = relay_in(it);
	}
	if (a->state == AGENT_RUNNING && last == NULL)
		return; /* controld will name some */
	if (a->state == AGENT_DRAINING || last == NULL)
		agent_over(a, EXIT_DONE, "drained");
	else if (last->lost)
		agent_over(a, EXIT_BAD_NEWS, last->last_error);
	else if (last->stranger)
		agent_over(a, EXIT_CREDENTIALS, last->last_error);
	else
		agent_over(a, last->last.code == ERR_CONFLICT ? EXIT_CONFLICT : EXIT_CREDENTIALS, last->last_error);
}

static void on_change(struct relay *r, void *arg)
{
	struct agent *a = arg;

	if (!a->ready && relay_links_up(r) > 0) {
		a->ready = true;
		a->events->on_ready(a->arg);
	}
	if (a->state == AGENT_RUNNING && !r->closing && relay_links_up(r) == 0)
		follow_hurry(&a->follow);
	if (r->closing && relay_is_over(r))
		relay_free(r);
	end_if_nothing_is_left(a);
}

static void retire(struct agent *a, struct relay *r, const char *why)
{
	relay_retire(r, why);
	if (relay_is_over(r))
		relay_free(r);
	else
		wheel_arm(&a->env.worker->wheel, &a->drain,
			a->env.worker->now_ns + a->settings.drain_timeout_ms * UINT64_C(1000000));
}

static void close_retired(struct agent *a)
{
	LIST_FOREACH_SAFE (it, &a->relays)
		if (relay_in(it)->closing)
			relay_close(relay_in(it), "the time for its last streams is over");
}

static void on_drained(struct timer *t)
{
	close_retired(CONTAINER_OF(t, struct agent, drain));
}

void agent_drain(struct agent *a)
{
	if (a->state != AGENT_RUNNING)
		return;
	sm_move(states, &a->state, AGENT_DRAINING);
	log_info("draining", log_u("connections", sessions_now(&a->sessions)));
	follow_stop(&a->follow);
	visits_close(&a->visits);
	sessions_close(&a->sessions);
	LIST_FOREACH_SAFE (it, &a->relays)
		retire(a, relay_in(it), "the agent is leaving");
	end_if_nothing_is_left(a);
}

void agent_stop(struct agent *a)
{
	agent_drain(a);
	close_retired(a);
}

static void on_session_ended(void *arg, struct tunnel_link *l)
{
	(void)arg;
	uplink_on_session_ended(l);
}

static void on_dialled(void *arg, const char *host, uint16_t port, const char *why)
{
	struct agent *a = arg;

	lookout_heard(&a->lookout, host, port, why);
}

static const struct sessions_ops sessions_ops = { .on_ended = on_session_ended, .on_dialled = on_dialled };

static void on_target(void *arg, const struct lookout_news *news)
{
	const struct agent *a = arg;
	const struct agent_target told = { .host = news->host, .port = news->port, .why = news->why };

	if (a->events->on_target != NULL && a->state == AGENT_RUNNING)
		a->events->on_target(a->arg, &told);
}

void agent_try_target(struct agent *a, const char *host, uint16_t port)
{
	lookout_try(&a->lookout, host, port);
}

static void on_visit(void *arg, const struct visit *v)
{
	const struct agent *a = arg;
	const struct agent_visit told = { .mapping = v->offer.mapping,
		.address = v->offer.bind[0] != '\0' ? v->offer.bind : VISIT_BIND,
		.port = v->offer.first,
		.listening = v->sockets != NULL,
		.why = v->why };

	if (a->events->on_visit != NULL)
		a->events->on_visit(a->arg, &told);
}

static const struct visits_ops visits_ops = { .on_change = on_visit };

/* ---- settings ----------------------------------------------------------------------------------------------------- */

/* What settings become before any of them takes effect. */
struct prepared {
	struct credential credential;
	struct tls_ctx *tls;
	struct allow *allow, *listen;
	struct http_proxy proxy;
};

static void prepared_fini(struct prepared *p)
{
	credential_fini(&p->credential);
	tls_ctx_unref(p->tls);
	allow_unref(p->allow);
	allow_unref(p->listen);
}

static int prepare(struct prepared *p, const struct settings *s, struct err *e)
{
	struct tls_conf tls = { .peer = TLS_PEER_REQUIRED, .peer_is_relay = true, .bulk = true };

	*p = (struct prepared){ .tls = NULL };
	if (settings_credential(s, &p->credential, e) != 0)
		return -1;
	tls.ca_fingerprint = p->credential.ca_fingerprint;
	if (tls_ctx_new(&p->tls, &tls, e) == 0 && allow_parse(&p->allow, "allow", s->allow, e) == 0 &&
		allow_parse(&p->listen, "listen", settings_listen(s), e) == 0 &&
		http_proxy_parse(&p->proxy, s->proxy, e) == 0)
		return 0;
	prepared_fini(p);
	return -1;
}

static void take(struct agent *a, struct prepared *p)
{
	const struct settings *s = &a->settings;
	const struct sessions_limits limits = { .streams = s->max_streams,
		.udp_sessions = s->max_udp_sessions,
		.dial_timeout_ms = s->dial_timeout_ms,
		.udp_idle_ms = s->udp_idle_ms };

	credential_fini(&a->credential);
	tls_ctx_unref(a->env.tls);
	a->credential = p->credential;
	a->env.tls = p->tls;
	a->proxy = p->proxy;
	a->env.unknown_ms = s->unknown_ms;
	sessions_set_limits(&a->sessions, &limits);
	sessions_set_allow(&a->sessions, p->allow);
	visits_set_allow(&a->visits, p->listen);
}

struct search {
	const char *name;
	bool found;
};

static void on_listed(const char *relay, void *arg)
{
	struct search *s = arg;

	s->found |= str_eq(s->name, relay);
}

static const char *wanted_relays(const struct agent *a)
{
	return a->told != NULL ? a->told : a->settings.relays;
}

static bool is_listed(const struct agent *a, const struct relay *r)
{
	struct search s = { .name = r->name };

	return settings_each_relay(wanted_relays(a), on_listed, &s, NULL) == 0 && s.found;
}

static void add_relay(const char *name, void *arg)
{
	struct agent *a = arg;
	struct relay *r;

	LIST_FOREACH (it, &a->relays)
		if (!relay_in(it)->closing && str_eq(relay_in(it)->name, name))
			return;
	r = relay_new(name, &a->env, on_change, a);
	if (r == NULL)
		log_error("relay_not_added", log_s("relay", name));
	else
		list_push_back(&a->relays, &r->in);
}

static void settle_relays(struct agent *a, bool retry)
{
	LIST_FOREACH_SAFE (it, &a->relays) {
		struct relay *r = relay_in(it);

		if (r->closing)
			continue;
		if (!is_listed(a, r))
			retire(a, r, "the agent does not list this relay any more");
		else if (r->refused && retry)
			relay_retry(r);
	}
	(void)!settings_each_relay(wanted_relays(a), add_relay, a, NULL);
}

/* A relay that controld has lost sight of may be there for its agents all the same: it stays as long as it is a node. */
static void keep_relays(const struct agent *a, struct follow_list *list)
{
	LIST_FOREACH (it, &a->relays) {
		const struct relay *r = relay_in(it);
		const size_t used = strlen(list->relays);

		if (r->closing || r->node[0] == '\0' || !follow_has_node(list, r->node))
			continue;
		if (!follow_has_relay(list, r->name) && used + 1 + strlen(r->name) < sizeof list->relays)
			str_fmt(list->relays + used, sizeof list->relays - used, ",%s", r->name);
	}
}

static void on_list(void *arg, const struct follow_list *told)
{
	struct agent *a = arg;
	struct follow_list list;
	char *copy;

	if (told == NULL) {
		if (list_empty(&a->relays))
			agent_over(a, EXIT_CREDENTIALS, "controld does not know these credentials");
		return;
	}
	list = *told;
	keep_relays(a, &list);
	if (a->told != NULL && str_eq(a->told, list.relays))
		return;
	copy = strdup(list.relays);
	if (copy == NULL || settings_each_relay(copy, NULL, NULL, NULL) != 0) {
		free(copy);
		return;
	}
	free(a->told);
	a->told = copy;
	log_info("relays_told", log_s("relays", copy));
	settle_relays(a, false);
}

void agent_note_reload(struct agent *a, const char *error)
{
	a->reloads++;
	str_copy(a->settings_error, sizeof a->settings_error, error);
}

/* Another key of the same client; of another client, links that are there are none. */
static bool is_another_key(const struct credential *old, const struct credential *new_)
{
	uint8_t before[KEY_PUBLIC_SIZE], now[KEY_PUBLIC_SIZE];

	key_public(old->key, before);
	key_public(new_->key, now);
	return str_eq(old->client, new_->client) && memcmp(before, now, sizeof now) != 0;
}

static void greet_again(struct agent *a)
{
	LIST_FOREACH (it, &a->relays)
		relay_greet_again(relay_in(it));
}

int agent_reload(struct agent *a, struct settings *settings, struct err *e)
{
	struct prepared p;
	bool another;

	if (a->state != AGENT_RUNNING || prepare(&p, settings, e) != 0) {
		settings_free(settings);
		return a->state != AGENT_RUNNING ? err_set(e, ERR_CONFLICT, NULL, "the agent is leaving") : -1;
	}
	follow_stop(&a->follow);
	if (settings->controld[0] == '\0') {
		free(a->told);
		a->told = NULL;
	}
	settings_free(&a->settings);
	a->settings = *settings;
	another = is_another_key(&a->credential, &p.credential);
	take(a, &p);
	if (another)
		greet_again(a);
	settle_relays(a, true);
	follow_start(&a->follow, &a->settings, &a->credential);
	return 0;
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static int agent_init(struct agent *a, struct worker *w, struct err *e)
{
	struct prepared p;

	a->env = (struct uplink_env){ .worker = w,
		.desk = &a->desk,
		.credential = &a->credential,
		.instance = &a->instance,
		.proxy = &a->proxy,
		.sessions = &a->sessions,
		.checks = &a->checks,
		.visits = &a->visits };
	a->started_ms = clock_wall_ms();
	a->instance.lock_fd = -1;
	list_init(&a->relays);
	timer_init(&a->drain, on_drained);
	task_init(&a->over, on_tell_over);
	sessions_init(&a->sessions, w, &sessions_ops, a);
	checks_init(&a->checks, w, &a->sessions);
	lookout_init(&a->lookout, w, &a->sessions, on_target, a);
	visits_init(&a->visits, &a->sessions, &visits_ops, a);
	follow_init(&a->follow, w, on_list, a);
	if (tunnel_desk_init(&a->desk) != 0)
		return err_set(e, ERR_NOMEM, NULL, "the agent: out of memory");
	if (prepare(&p, &a->settings, e) != 0)
		return -1;
	take(a, &p);
	return instance_open(&a->instance, a->settings.state_dir, a->settings.instance, a->started_ms, e);
}

int agent_open(struct agent **out, struct worker *w, struct settings *settings, const struct agent_events *events,
	void *arg, struct err *e)
{
	struct agent *a = calloc(1, sizeof *a);

	if (a == NULL) {
		settings_free(settings);
		return err_set(e, ERR_NOMEM, NULL, "the agent: out of memory");
	}
	a->settings = *settings;
	a->events = events;
	a->arg = arg;
	if (agent_init(a, w, e) != 0) {
		agent_free(a);
		return -1;
	}
	log_info("agent", log_s("client", a->credential.client), log_s("instance", a->instance.name),
		log_u("epoch", a->instance.epoch), log_s("allow", a->settings.allow));
	settle_relays(a, false);
	follow_start(&a->follow, &a->settings, &a->credential);
	if (list_empty(&a->relays) && a->settings.controld[0] == '\0') {
		agent_free(a);
		return err_set(e, ERR_NOMEM, NULL, "the agent: out of memory");
	}
	*out = a;
	return 0;
}

void agent_free(struct agent *a)
{
	wheel_disarm(&a->drain);
	follow_stop(&a->follow);
	free(a->told);
	list_remove(&a->over.link);
	LIST_FOREACH_SAFE (it, &a->relays) {
		relay_close(relay_in(it), "the agent has ended");
		if (relay_is_over(relay_in(it)))
			relay_free(relay_in(it));
	}
	checks_fini(&a->checks);
	lookout_fini(&a->lookout);
	worker_bury_all(a->env.worker);
	list_remove(&a->over.link);
	visits_cut_all(&a->visits);
	worker_bury_all(a->env.worker);
	visits_fini(&a->visits);
	sessions_fini(&a->sessions);
	instance_close(&a->instance);
	tls_ctx_unref(a->env.tls);
	credential_fini(&a->credential);
	tunnel_desk_fini(&a->desk);
	settings_free(&a->settings);
	free(a);
}

/* ---- for people --------------------------------------------------------------------------------------------------- */

static void print_counters(const struct agent *a, struct buf *b)
{
	jsonw_object(b, "counters");
	for (unsigned i = 0; i < SESSIONS_COUNTERS_N; i++)
		jsonw_uint(b, sessions_counter_name(i), a->sessions.counters[i]);
	jsonw_end_object(b);
}

void agent_print(const struct agent *a, struct buf *b)
{
	jsonw_object(b, NULL);
	jsonw_str(b, "state", states[a->state].name);
	jsonw_str(b, "version", PORTWAY_VERSION);
	jsonw_int(b, "pid", getpid());
	jsonw_str(b, "client", a->credential.client);
	jsonw_str(b, "instance", a->instance.name);
	jsonw_uint(b, "epoch", a->instance.epoch);
	jsonw_time(b, "started_at", a->started_ms);
	jsonw_str(b, "allow", a->settings.allow);
	jsonw_uint(b, "reloads", a->reloads);
	jsonw_str_or_null(b, "settings_error", a->settings_error);
	jsonw_time(b, "relays_told_at", a->follow.told_ms);
	jsonw_str_or_null(b, "relays_error", a->follow.error);
	jsonw_uint(b, "tcp", a->sessions.n_tcp);
	jsonw_uint(b, "udp", a->sessions.n_udp);
	jsonw_uint(b, "visits_tcp", a->visits.n_tcp);
	jsonw_uint(b, "visits_udp", a->visits.n_udp);
	visits_print(&a->visits, b);
	print_counters(a, b);
	jsonw_array(b, "targets");
	checks_print(&a->checks, b);
	jsonw_end_array(b);
	jsonw_array(b, "targets_away");
	lookout_print(&a->lookout, b);
	jsonw_end_array(b);
	jsonw_array(b, "relays");
	LIST_FOREACH (it, &a->relays)
		relay_print(relay_in(it), b);
	jsonw_end_array(b);
	jsonw_end_object(b);
}
