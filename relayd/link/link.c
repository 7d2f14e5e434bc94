#include "relayd/link/link.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "common/net/addr.h"
#include "relayd/link/link_process.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS  100
#define BACKOFF_BASE_MS 250
#define BACKOFF_MAX_MS  10000
#define WATCH_MS        500   /* how often deadlines are looked at */
#define DISCONNECTED_MS 10000 /* so long nng may try to connect again by itself, */
#define ELSEWHERE_MS    1000  /* and so long when there may be another controld to go to */
#define REPORT_MS       15000 /* an answer on the report line takes no longer; a poll is parked */

enum link_state { LINK_OFF, LINK_STARTING, LINK_UP, LINK_WAITING, LINK_CLOSING };

static const struct sm_state states[] = {
	[LINK_OFF] = { "off", BIT(LINK_STARTING) | BIT(LINK_WAITING) | BIT(LINK_CLOSING) },
	[LINK_STARTING] = { "starting", BIT(LINK_UP) | BIT(LINK_WAITING) | BIT(LINK_CLOSING) },
	[LINK_UP] = { "up", BIT(LINK_WAITING) | BIT(LINK_CLOSING) },
	[LINK_WAITING] = { "waiting", BIT(LINK_STARTING) | BIT(LINK_WAITING) | BIT(LINK_CLOSING) },
	[LINK_CLOSING] = { "closing", 0 },
};

struct link_request {
	bool connected;
	uint64_t changed_ms; /* when that was last said */
	bool busy;
	uint64_t sent_ms;
};

struct link {
	uv_loop_t *loop;
	struct link_conf conf;
	char *addresses;
	unsigned turn; /* which of the addresses */
	struct link_frame_open open;
	struct link_events events;
	void *arg;
	int state;
	struct link_process *process; /* NULL in OFF and WAITING */
	unsigned n_processes;         /* with those that are being ended */
	uv_timer_t backoff, watch;
	unsigned open_timers;
	unsigned attempt;
	char last_why[160]; /* the reason that was logged, so that it is logged once */
	uint64_t restarts;
	uint64_t since_ms; /* when STARTING began */
	struct link_request lines[LINES_N];
	void (*on_closed)(void *arg);
	void *closed_arg;
};

static void link_move(struct link *l, enum link_state to)
{
	sm_move(states, &l->state, (int)to);
}

bool link_up(const struct link *l)
{
	return l->state == LINK_UP;
}

bool link_busy(const struct link *l, enum link_line line)
{
	return l->lines[line].busy;
}

uint64_t link_restarts(const struct link *l)
{
	return l->restarts;
}

/* A peer without a certificate may only join, which the report line is for. */
static bool link_uses(const struct link *l, int line)
{
	return line == LINE_REPORT || l->open.cert_pem[0] != '\0';
}

bool link_connected(const struct link *l)
{
	if (l->process == NULL)
		return false;
	for (int i = 0; i < LINES_N; i++)
		if (link_uses(l, i) && !l->lines[i].connected)
			return false;
	return true;
}

static void link_lose(struct link *l, enum link_line line)
{
	if (!l->lines[line].busy)
		return;
	l->lines[line].busy = false;
	l->events.on_lost(l->arg, line);
}

static unsigned link_count(const struct link *l)
{
	unsigned count = 1;

	for (const char *c = l->addresses; *c != '\0'; c++)
		count += *c == ',';
	return count;
}

/* The address whose turn it is: its start, and its length. */
static const char *link_address(const struct link *l, size_t *n)
{
	const char *p = l->addresses;

	for (unsigned turn = l->turn % link_count(l); turn > 0; turn--)
		p = strchr(p, ',') + 1;
	*n = strcspn(p, ",");
	return p;
}

/* Whether there may be several: a list, or a name, which can have more addresses than one. */
static bool link_has_choice(const struct link *l)
{
	struct addr a;

	return strchr(l->addresses, ',') != NULL || addr_parse(&a, l->addresses) != 0;
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

static void link_say_trouble(struct link *l, const char *why)
{
	size_t n;
	const char *address = link_address(l, &n);
	char name[300];

	str_fmt(name, sizeof name, "%.*s", (int)n, address);
	if (strcmp(l->last_why, why) != 0)
		log_warn("link_down", log_s("controld", name), log_s("reason", why));
	str_copy(l->last_why, sizeof l->last_why, why);
}

static void on_backoff(uv_timer_t *t);

static void link_wait(struct link *l, uint64_t ms)
{
	link_move(l, LINK_WAITING);
	uv_timer_start(&l->backoff, on_backoff, ms, 0);
}

/* Ends the process of now, if there is one, and tells what is lost with it. */
static void link_drop(struct link *l, const char *why, uint64_t wait_ms)
{
	bool was_up = l->state == LINK_UP;

	if (l->process != NULL)
		link_process_end(l->process);
	l->process = NULL;
	for (int i = 0; i < LINES_N; i++)
		l->lines[i].connected = false;
	link_wait(l, wait_ms);
	for (int i = 0; i < LINES_N; i++)
		link_lose(l, (enum link_line)i);
	if (was_up)
		l->events.on_down(l->arg, why);
}

/* Ends the process and starts another one: the cure of every trouble. */
static void link_restart(struct link *l, const char *why)
{
	if (l->state != LINK_STARTING && l->state != LINK_UP)
		return;
	link_say_trouble(l, why);
	l->restarts++;
	l->attempt = MIN(l->attempt + 1, 16);
	l->turn++;
	link_drop(l, why, BACKOFF_MIN_MS + rand_backoff_ms(l->attempt, BACKOFF_BASE_MS, BACKOFF_MAX_MS));
}

static void on_trouble(void *arg, const char *why)
{
	link_restart(arg, why);
}

static void link_end_if_done(struct link *l)
{
	void (*on_closed)(void *arg) = l->on_closed;
	void *arg = l->closed_arg;

	if (l->state != LINK_CLOSING || l->n_processes > 0 || l->open_timers > 0)
		return;
	seal_wipe(&l->open, sizeof l->open);
	free(l->addresses);
	free(l);
	on_closed(arg);
}

static void on_gone(void *arg)
{
	struct link *l = arg;

	l->n_processes--;
	link_end_if_done(l);
}

/* ---- what the process says --------------------------------------------------------------------------------------- */

static void line_up(struct link *l, enum link_line line)
{
	bool first = l->state == LINK_STARTING;

	if (l->lines[line].connected)
		return;
	l->lines[line].connected = true;
	l->lines[line].changed_ms = clock_mono_ms();
	if (!link_connected(l))
		return;
	log_info("link_up", log_u("restarts", l->restarts));
	l->last_why[0] = '\0';
	if (!first)
		return; /* nng connected again by itself, and what waits in it goes out now */
	link_move(l, LINK_UP);
	l->events.on_up(l->arg);
}

static void line_down(struct link *l, enum link_line line, const struct link_frame *f)
{
	char why[160];

	str_fmt(why, sizeof why, "%.*s", (int)MIN(f->n - 1, sizeof why - 1), (const char *)f->p + 1);
	if (l->state == LINK_STARTING) {
		link_restart(l, why);
		return;
	}
	link_say_trouble(l, why);
	l->lines[line].connected = false;
	l->lines[line].changed_ms = clock_mono_ms();
}

static void line_reply(struct link *l, enum link_line line, const struct link_frame *f)
{
	if (!l->lines[line].busy)
		return;
	l->lines[line].busy = false;
	l->attempt = 0; /* this controld works */
	l->events.on_reply(l->arg, line, f->p + 1, f->n - 1);
}

static void on_frame(void *arg, const struct link_frame *f)
{
	struct link *l = arg;
	enum link_line line = f->n > 0 && f->p[0] < LINES_N ? (enum link_line)f->p[0] : LINES_N;

	if (line == LINES_N)
		link_restart(l, "the link process said nonsense");
	else if (f->kind == LINK_FRAME_UP)
		line_up(l, line);
	else if (f->kind == LINK_FRAME_DOWN)
		line_down(l, line, f);
	else if (f->kind == LINK_FRAME_REPLY)
		line_reply(l, line, f);
	else if (f->kind == LINK_FRAME_LOST)
		link_lose(l, line);
}

/* ---- starting, watching ------------------------------------------------------------------------------------------ */

static void link_start(struct link *l)
{
	static const struct link_process_events events = { on_frame, on_trouble, on_gone };
	struct err e = { .code = ERR_NONE };
	struct buf frames;
	size_t n;
	const char *address = link_address(l, &n);

	link_move(l, LINK_STARTING);
	l->since_ms = clock_mono_ms();
	if (link_process_start(&l->process, l->loop, l->conf.program, &events, l, &e) != 0) {
		link_restart(l, e.msg);
		return;
	}
	l->n_processes++;
	str_fmt(l->open.address, sizeof l->open.address, "%.*s", (int)n, address);
	l->open.turn = l->turn / link_count(l);
	buf_init(&frames, LINK_FRAME_HEAD + LINK_FRAME_MAX);
	link_frame_open_put(&frames, &l->open);
	link_process_send(l->process, &frames);
}

static void on_backoff(uv_timer_t *t)
{
	link_start(t->data);
}

/* A controld that hangs is noticed by what it does not answer; only a poll may be left without an answer for long. */
static uint64_t link_patience(const struct link *l, int line)
{
	return line == LINE_REPORT ? MIN(l->conf.answer_timeout_ms, (uint64_t)REPORT_MS) : l->conf.answer_timeout_ms;
}

static const char *link_overdue(const struct link *l, uint64_t now)
{
	const uint64_t lost_ms = link_has_choice(l) ? ELSEWHERE_MS : DISCONNECTED_MS;

	if (l->state == LINK_STARTING && now - l->since_ms > l->conf.connect_timeout_ms)
		return "no connection in time";
	for (int i = 0; l->state == LINK_UP && i < LINES_N; i++) {
		const struct link_request *r = &l->lines[i];

		if (r->busy && now - r->sent_ms > link_patience(l, i))
			return "no answer in time";
		if (link_uses(l, i) && !r->connected && now - r->changed_ms > lost_ms)
			return "disconnected for too long";
	}
	return NULL;
}

static void on_watch(uv_timer_t *t)
{
	struct link *l = t->data;
	const char *why = link_overdue(l, clock_mono_ms());

	if (why != NULL)
		link_restart(l, why);
}

int link_new(struct link **out, uv_loop_t *loop, const struct link_conf *conf, const struct link_events *events,
	void *arg, struct err *e)
{
	struct link *l = calloc(1, sizeof *l);

	if (l == NULL || (l->addresses = strdup(conf->addresses)) == NULL) {
		free(l);
		return err_set(e, ERR_NOMEM, NULL, "link: out of memory");
	}
	l->loop = loop;
	l->conf = *conf;
	l->conf.addresses = NULL;
	l->turn = (unsigned)rand_below(1024); /* relays spread over the addresses */
	l->events = *events;
	l->arg = arg;
	uv_timer_init(loop, &l->backoff);
	uv_timer_init(loop, &l->watch);
	l->backoff.data = l->watch.data = l;
	l->open_timers = 2;
	uv_timer_start(&l->watch, on_watch, WATCH_MS, WATCH_MS);
	*out = l;
	return 0;
}

void link_open(struct link *l, const struct link_frame_open *credentials)
{
	if (l->state == LINK_CLOSING)
		return;
	l->open = *credentials;
	if (l->state == LINK_OFF) {
		link_start(l);
		return;
	}
	l->attempt = 0;
	link_drop(l, "new credentials", 0);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct link *l = h->data;

	l->open_timers--;
	link_end_if_done(l);
}

void link_close(struct link *l, void (*on_closed)(void *arg), void *arg)
{
	if (l->state == LINK_CLOSING)
		return;
	l->on_closed = on_closed;
	l->closed_arg = arg;
	link_move(l, LINK_CLOSING);
	if (l->process != NULL)
		link_process_end(l->process);
	l->process = NULL;
	uv_close((uv_handle_t *)&l->backoff, on_timer_closed);
	uv_close((uv_handle_t *)&l->watch, on_timer_closed);
}

void link_send(struct link *l, enum link_line line, const void *p, size_t n)
{
	struct buf frames;

	assert(l->state == LINK_UP && !l->lines[line].busy && link_uses(l, (int)line));
	l->lines[line].busy = true;
	l->lines[line].sent_ms = clock_mono_ms();
	buf_init(&frames, LINK_FRAME_HEAD + LINK_FRAME_MAX);
	link_frame_put(&frames, LINK_FRAME_SEND, (int)line, p, n);
	link_process_send(l->process, &frames);
}
