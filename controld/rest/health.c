#include "controld/rest/health.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define HEALTH_EVERY_S    1
#define HEALTH_HANGING_MS 5000

#ifndef PORTWAY_VERSION
#define PORTWAY_VERSION "0"
#endif

struct health_part {
	struct health_probe probe;
	bool down;
	enum err_code why;
	uint64_t asked_ms; /* while it is being asked; 0: it has answered */
};

struct health {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	bool started;
	pthread_t thread;
	size_t n;
	struct health_part parts[HEALTH_PROBES_MAX];
};

int health_new(struct health **out, struct err *e)
{
	struct health *h = calloc(1, sizeof *h);
	pthread_condattr_t attr;

	if (h == NULL)
		return err_set(e, ERR_NOMEM, NULL, "health: out of memory");
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->wake, &attr);
	pthread_condattr_destroy(&attr);
	*out = h;
	return 0;
}

int health_add(struct health *h, const struct health_probe *probe, struct err *e)
{
	if (h->n == HEALTH_PROBES_MAX)
		return err_set(e, ERR_INTERNAL, NULL, "health: more than %d probes", HEALTH_PROBES_MAX);
	h->parts[h->n++] = (struct health_part){ .probe = *probe };
	return 0;
}

/* Anybody may ask for the health, so he is told what is wrong, and the log which host, file or user it is about. */
static const char *health_reason(enum err_code code)
{
	switch (code) {
	case ERR_NONE:
		return "";
	case ERR_UNAVAILABLE:
		return "not available";
	case ERR_TIMEOUT:
		return "does not answer in time";
	case ERR_OVERLOADED:
		return "has too much to do";
	case ERR_DISK_FULL:
		return "the disk is full";
	default:
		return "does not work; the log says why";
	}
}

/* With the lock held, which is open while the probe runs. */
static void health_ask(struct health *h, struct health_part *part)
{
	const bool was_down = part->down;
	struct err e;
	int rc;

	err_clear(&e);
	part->asked_ms = clock_mono_ms();
	pthread_mutex_unlock(&h->lock);
	rc = part->probe.check(part->probe.self, &e);
	pthread_mutex_lock(&h->lock);
	part->asked_ms = 0;
	part->down = rc != 0;
	part->why = rc != 0 ? e.code : ERR_NONE;
	if (part->down && !was_down)
		log_warn("health_down", log_s("part", part->probe.name), log_err(&e));
	else if (!part->down && was_down)
		log_info("health_up", log_s("part", part->probe.name));
}

static void health_ask_all(struct health *h)
{
	for (size_t i = 0; i < h->n && !h->stopping; i++)
		health_ask(h, &h->parts[i]);
}

static void *work_health(void *arg)
{
	struct health *h = arg;

	pthread_mutex_lock(&h->lock);
	while (!h->stopping) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += HEALTH_EVERY_S;
		while (!h->stopping && pthread_cond_timedwait(&h->wake, &h->lock, &until) != ETIMEDOUT)
			;
		health_ask_all(h);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int health_start(struct health *h, struct err *e)
{
	sigset_t all, before;
	int rc;

	pthread_mutex_lock(&h->lock);
	health_ask_all(h);
	pthread_mutex_unlock(&h->lock);
	sigfillset(&all); /* signals are the loop thread's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&h->thread, NULL, work_health, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set_sys(e, ERR_NOMEM, rc, "health: start thread");
	h->started = true;
	return 0;
}

void health_free(struct health *h)
{
	if (h == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	pthread_cond_signal(&h->wake);
	pthread_mutex_unlock(&h->lock);
	if (h->started)
		pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static bool health_part_hangs(const struct health_part *part)
{
	return part->asked_ms != 0 && clock_mono_ms() - part->asked_ms > HEALTH_HANGING_MS;
}

/* With the lock held. */
static enum health_status health_part_status(const struct health_part *part)
{
	if (!part->down && !health_part_hangs(part))
		return HEALTH_HEALTHY;
	return part->probe.critical ? HEALTH_UNHEALTHY : HEALTH_DEGRADED;
}

static const char *health_status_name(enum health_status s)
{
	static const char *const names[] = {
		[HEALTH_HEALTHY] = "healthy",
		[HEALTH_DEGRADED] = "degraded",
		[HEALTH_UNHEALTHY] = "unhealthy",
	};

	return names[s];
}

/* With the lock held. */
static enum health_status health_worst(const struct health *h)
{
	enum health_status worst = HEALTH_HEALTHY;

	for (size_t i = 0; i < h->n; i++)
		worst = MAX(worst, health_part_status(&h->parts[i]));
	return worst;
}

enum health_status health_status(struct health *h)
{
	enum health_status s;

	pthread_mutex_lock(&h->lock);
	s = health_worst(h);
	pthread_mutex_unlock(&h->lock);
	return s;
}

static json_t *health_check_json(const struct health_part *part)
{
	const bool up = health_part_status(part) == HEALTH_HEALTHY;
	const char *details = health_part_hangs(part) ? "does not answer" : health_reason(part->why);

	return json_pack("{s:s, s:s, s:s}", "name", part->probe.name, "status", up ? "UP" : "DOWN", "details", details);
}

json_t *health_read(struct health *h, int64_t now_ms, uint64_t uptime_s)
{
	json_t *components = json_object();
	json_t *checks = json_array();
	char now[CLOCK_RFC3339_SIZE], uptime[32];
	json_t *out;

	clock_rfc3339(now, now_ms);
	clock_uptime(uptime, sizeof uptime, uptime_s);
	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->n; i++) {
		const enum health_status s = health_part_status(&h->parts[i]);

		json_object_set_new(
			components, h->parts[i].probe.name, json_string(s == HEALTH_HEALTHY ? "healthy" : "unhealthy"));
		json_array_append_new(checks, health_check_json(&h->parts[i]));
	}
	out = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "status", health_status_name(health_worst(h)), "timestamp",
		now, "version", PORTWAY_VERSION, "uptime", uptime, "components", components, "checks", checks);
	pthread_mutex_unlock(&h->lock);
	return out;
}
