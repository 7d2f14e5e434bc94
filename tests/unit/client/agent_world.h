/*
 * agent_world - an agent and a relay of the test's own on one worker, and targets on threads. Every wait has a limit.
 */
#ifndef PORTWAY_TESTS_AGENT_WORLD_H
#define PORTWAY_TESTS_AGENT_WORLD_H

#include "tests/unit/client/agent_relay.h"

#define PATIENCE_NS UINT64_C(30000000000)

/* ---- running ------------------------------------------------------------------------------------------------------ */

static inline void world_on_wake(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static inline void world_on_watchdog(struct timer *t)
{
	struct world *w = CONTAINER_OF(t, struct world, watchdog);

	w->timed_out = true;
	worker_stop(&w->worker);
}

/* Looks twice a tick; what a test waits for need not tell. */
static inline void world_on_poll(struct timer *t)
{
	struct world *w = CONTAINER_OF(t, struct world, poll_timer);

	if (w->done(w))
		worker_stop(&w->worker);
	else
		wheel_arm(&w->worker.wheel, t, w->worker.now_ns + WHEEL_TICK_NS);
}

#define world_run_until(w, fn)                                                             \
	do {                                                                               \
		if (!world_runs_until(w, fn))                                              \
			fail_msg("%s:%d: %s did not come about", __FILE__, __LINE__, #fn); \
	} while (0)

static inline bool world_runs_until(struct world *w, bool (*done)(struct world *w))
{
	w->done = done;
	w->worker.stopping = done(w);
	w->worker.now_ns = clock_mono_ns();
	wheel_arm(&w->worker.wheel, &w->watchdog, w->worker.now_ns + PATIENCE_NS);
	wheel_arm(&w->worker.wheel, &w->poll_timer, w->worker.now_ns);
	worker_run(&w->worker);
	wheel_disarm(&w->watchdog);
	wheel_disarm(&w->poll_timer);
	return !w->timed_out;
}

/* ---- the agent ---------------------------------------------------------------------------------------------------- */

static inline void world_on_ready(void *arg)
{
	((struct world *)arg)->ready = true;
}

static inline void world_on_over(void *arg, enum command_exit code, const char *why)
{
	struct world *w = arg;

	assert_false(w->over);
	w->over = true;
	w->code = code;
	str_copy(w->why, sizeof w->why, why);
}

/* relays: "" for the first test relay. more: further settings, NULL at the end. */
static inline int world_settings(struct world *w, struct settings *out, const char *relays, const char *const *more)
{
	char token[300], state[100], where[100];
	const char *set[16] = { token, state, where, "proxy=off", "drain_timeout=20s" };
	const char *const none[] = { NULL };
	const struct conf_source src = { .env = none, .set = set };
	struct err_list *errs = calloc(1, sizeof *errs);
	int r;

	str_fmt(token, sizeof token, "token=%s", w->token);
	str_fmt(state, sizeof state, "state_dir=%s", w->dir);
	str_fmt(where, sizeof where, "relays=127.0.0.1:%u", w->relay[0].port);
	if (relays[0] != '\0')
		str_fmt(where, sizeof where, "relays=%s", relays);
	for (size_t i = 0; more != NULL && more[i] != NULL; i++)
		set[5 + i] = more[i];
	r = settings_load(out, &src, errs);
	if (r != 0)
		print_message("settings: %s\n", errs->items[0].msg);
	free(errs);
	return r;
}

static inline void world_open_agent(struct world *w, const char *relays, const char *const *more)
{
	static const struct agent_events events = { world_on_ready, world_on_over, NULL, NULL };
	struct settings s;
	struct err e = { .code = ERR_NONE };

	assert_int_equal(world_settings(w, &s, relays, more), 0);
	if (agent_open(&w->agent, &w->worker, &s, &events, w, &e) != 0)
		fail_msg("%s", e.msg);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static inline void world_make_identities(struct world *w)
{
	int64_t now = clock_wall_ms();
	uint8_t seed[KEY_SEED_SIZE];
	struct cert_info info;
	char secret[64], *leaf;
	size_t n;

	assert_int_equal(key_generate(&w->ca_key, NULL) | key_generate(&w->relay_key, NULL), 0);
	assert_int_equal(key_generate(&w->client_key, NULL), 0);
	w->ca = cert_make_ca(w->ca_key, "Test CA", now, 10, NULL);
	leaf = cert_issue(w->ca, w->ca_key, w->relay_key, "node_1", NULL, CERT_CLIENT, now, 10, NULL);
	n = strlen(leaf) + strlen(w->ca) + 1;
	w->relay_pem = malloc(n);
	snprintf(w->relay_pem, n, "%s%s", leaf, w->ca);
	free(leaf);
	w->relay_key_pem = key_to_pem(w->relay_key);
	assert_int_equal(cert_inspect(w->ca, &info, NULL), 0);
	str_copy(w->fingerprint, sizeof w->fingerprint, info.fingerprint);
	assert_int_equal(key_seed(w->client_key, seed), 0);
	str_b64url(secret, seed, sizeof seed);
	str_fmt(w->token, sizeof w->token, "42.pws_%s.%s", secret, w->fingerprint);
}

static inline int world_set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct tls_conf conf = { .server = true, .bulk = true };

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	world_make_identities(w);
	conf.cert_pem = w->relay_pem;
	conf.key_pem = w->relay_key_pem;
	assert_int_equal(tls_ctx_new(&w->tls, &conf, NULL), 0);
	str_copy(w->dir, sizeof w->dir, "/tmp/agent-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	fd_budget_init(&w->fds, 1000);
	assert_int_equal(worker_init(&w->worker, 0, &w->fds, world_on_wake, NULL, NULL), 0);
	assert_int_equal(tunnel_desk_init(&w->desk), 0);
	timer_init(&w->watchdog, world_on_watchdog);
	timer_init(&w->poll_timer, world_on_poll);
	test_relay_open(&w->relay[0], w);
	test_relay_open(&w->relay[1], w);
	*state = w;
	return 0;
}

static inline int world_tear_down(void **state)
{
	struct world *w = *state;
	char cmd[128];

	if (w->agent != NULL)
		agent_free(w->agent);
	test_relay_crash(&w->relay[0]);
	test_relay_crash(&w->relay[1]);
	worker_bury_all(&w->worker);
	tunnel_desk_fini(&w->desk);
	assert_int_equal(fd_budget_used(&w->fds), 0);
	worker_fini(&w->worker);
	tls_ctx_unref(w->tls);
	key_free(w->ca_key);
	key_free(w->relay_key);
	key_free(w->client_key);
	free(w->relay_key_pem);
	free(w->relay_pem);
	free(w->ca);
	str_fmt(cmd, sizeof cmd, "rm -rf %s", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w);
	return 0;
}

#endif
