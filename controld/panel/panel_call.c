#define _GNU_SOURCE 1 /* strptime */
#include "controld/panel/panel_call.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/out/outbound.h"
#include "controld/panel/rate.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX     (64u << 20) /* bytes: a page of nodes with all their allocations */
#define TRIES          6           /* of one page that fails */
#define PATIENCE       60          /* times that a page may be told to come later */
#define BACKOFF_MS     500
#define BACKOFF_MAX_MS 30000
#define HOLD_MAX_MS    (10 * 60 * 1000) /* an answer may not hold us up longer */
#define NAP_MS         100
#define HEADERS_MAX    6

/* ---- asking ------------------------------------------------------------------------------------------------------ */

struct asking {
	char url[PANEL_URL_MAX + 256];
	char lines[HEADERS_MAX][PANEL_KEY_MAX + 64];
	const char *headers[HEADERS_MAX + 1];
	size_t n;
};

static void add_header(struct asking *a, const char *name, const char *value)
{
	if (*value == '\0')
		return;
	(void)str_fmt(a->lines[a->n], sizeof a->lines[0], "%s: %s", name, value);
	a->headers[a->n] = a->lines[a->n];
	a->headers[++a->n] = NULL;
}

/* A panel that is asked for anything but JSON answers a wrong key with a page to log in at. */
static void set_headers(struct asking *a, const struct panel_access *x)
{
	char bearer[PANEL_KEY_MAX + 16];

	a->n = 0;
	(void)str_fmt(bearer, sizeof bearer, "Bearer %s", x->key);
	add_header(a, "Authorization", bearer);
	add_header(a, "Accept", "application/json");
	add_header(a, "CF-Access-Client-Id", x->access_id);
	add_header(a, "CF-Access-Client-Secret", x->access_secret);
}

static unsigned page_size(const struct panel_call *c, const struct panel_list *l)
{
	unsigned n = c->per_page;

	if (l->per_page > 0)
		n = MIN(n, l->per_page);
	return c->driver->page_size_max > 0 ? MIN(n, c->driver->page_size_max) : n;
}

static int set_url(
	struct asking *a, const struct panel_call *c, const struct panel_list *l, int64_t parent_id, int64_t page)
{
	const char *at = strchr(l->path, '%'), *more = *l->query != '\0' ? "&" : "";
	char path[160], paging[80] = "";

	if (at == NULL)
		(void)str_copy(path, sizeof path, l->path);
	else
		(void)str_fmt(path, sizeof path, "%.*s%" PRId64 "%s", (int)(at - l->path), l->path, parent_id, at + 1);
	if (!l->unpaged)
		(void)str_fmt(paging, sizeof paging, "%s%s=%u&page=%" PRId64, more, c->driver->page_size,
			page_size(c, l), page);
	return str_fmt(a->url, sizeof a->url, "%s%s%s%s%s", c->access->url, path,
		*l->query != '\0' || !l->unpaged ? "?" : "", l->query, paging);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* False: told to stop. */
static bool nap(const struct panel_call *c, uint64_t ms)
{
	const uint64_t until = clock_mono_ms() + ms;

	while (!c->stop(c->arg)) {
		const uint64_t now = clock_mono_ms();
		struct timespec t = { 0 };

		if (now >= until)
			return true;
		t.tv_nsec = (long)MIN(until - now, NAP_MS) * 1000000;
		nanosleep(&t, NULL);
	}
	return false;
}

static bool wait_for_turn(const struct panel_call *c)
{
	uint64_t wait;

	while (!c->stop(c->arg)) {
		if ((wait = rate_take(c->rate, clock_mono_ms())) == 0)
			return true;
		if (!nap(c, MIN(wait, 1000)))
			break;
	}
	return false;
}

uint64_t panel_call_retry_after(const char *text, int64_t now_ms)
{
	struct tm t = { 0 };
	const char *end;
	uint64_t s;
	int64_t at_ms;

	if (str_to_u64(text, 0, UINT64_MAX, &s) == 0)
		return MIN(s, HOLD_MAX_MS / 1000) * 1000;
	if ((end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &t)) == NULL || *end != '\0')
		return 0;
	at_ms = (int64_t)timegm(&t) * 1000;
	return at_ms <= now_ms ? 0 : MIN((uint64_t)(at_ms - now_ms), HOLD_MAX_MS);
}

/* ---- what an answer says ----------------------------------------------------------------------------------------- */

static bool number_of(struct outbound_answer *a, const char *name, int64_t *out)
{
	char text[64];

	return outbound_header(a, name, text, sizeof text) && str_to_i64(text, 0, INT64_MAX, out) == 0;
}

static void hear_rate(const struct panel_call *c, struct outbound_answer *a)
{
	int64_t limit = 0, left = -1;

	(void)number_of(a, "X-RateLimit-Limit", &limit);
	(void)number_of(a, "X-RateLimit-Remaining", &left);
	rate_heard(
		c->rate, clock_mono_ms(), limit <= RATE_LIMIT_MAX ? (unsigned)limit : 0, a->status == 429 ? -1 : left);
}

/* All of this panel's requests wait: as long as it says, or longer each time. */
static void hold(const struct panel_call *c, struct outbound_answer *a, unsigned times)
{
	const int64_t now_ms = clock_wall_ms();
	uint64_t ms = 0;
	int64_t reset;
	char text[64];

	if (outbound_header(a, "Retry-After", text, sizeof text))
		ms = panel_call_retry_after(text, now_ms);
	else if (number_of(a, "X-RateLimit-Reset", &reset) && reset <= INT64_MAX / 1000 && reset * 1000 > now_ms)
		ms = MIN((uint64_t)(reset * 1000 - now_ms), HOLD_MAX_MS);
	if (ms == 0)
		ms = BACKOFF_MS + rand_backoff_ms(times, BACKOFF_MS, BACKOFF_MAX_MS);
	rate_hold(c->rate, clock_mono_ms(), ms);
}

enum step { STEP_READ, STEP_AGAIN, STEP_LATER, STEP_GONE, STEP_DENIED, STEP_REFUSED };

static enum step step_of(int status)
{
	if (status == 200)
		return STEP_READ;
	if (status == 429)
		return STEP_LATER;
	if (status == 404)
		return STEP_GONE;
	if (status == 403)
		return STEP_DENIED;
	return status >= 500 || status == 408 ? STEP_AGAIN : STEP_REFUSED;
}

static void explain(const struct panel_call *c, const struct panel_list *l, int status, struct err *e)
{
	const char *name = c->driver->name;

	if (status == 401)
		err_set(e, ERR_UNAVAILABLE, NULL, "%s does not know the API key (401)", name);
	else if (status / 100 == 3)
		err_set(e, ERR_UNAVAILABLE, NULL,
			"%s sends us elsewhere (%d), as it does without a good API key: look at its URL and key", name,
			status);
	else if (status == 404)
		err_set(e, ERR_UNAVAILABLE, NULL, "%s has no %s (404): is its URL the panel's own?", name, l->name);
	else
		err_set(e, ERR_UNAVAILABLE, NULL, "%s answered %d when asked for %s", name, status, l->name);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

struct attempt {
	const struct panel_list *list;
	int64_t parent_id, page;
	struct panel_page *out;
	int status; /* 0: no answer */
};

static enum step fail_of(const struct err *e)
{
	switch (e->code) {
	case ERR_UNAVAILABLE:
	case ERR_OVERLOADED:
	case ERR_TIMEOUT:
	case ERR_IO:
	case ERR_NOMEM:
		return STEP_AGAIN;
	default:
		return STEP_REFUSED;
	}
}

/* Cut off, or something in between that answered; but what is too large is so the next time. */
static enum step read_failed(const struct err *e)
{
	return e->code == ERR_TOO_LARGE ? STEP_REFUSED : STEP_AGAIN;
}

static enum step ask(const struct panel_call *c, struct attempt *t, unsigned times, struct err *e)
{
	struct asking a;
	struct outbound_request rq = { .method = "GET",
		.url = a.url,
		.headers = a.headers,
		.timeout_ms = c->timeout_ms,
		.answer_max = ANSWER_MAX,
		.stop = c->stop,
		.arg = c->arg };
	struct outbound_answer answer;
	enum step step;
	int sent;

	t->status = 0;
	set_headers(&a, c->access);
	if (set_url(&a, c, t->list, t->parent_id, t->page) != 0) {
		rate_done(c->rate, clock_mono_ms());
		err_set(e, ERR_VALIDATION, NULL, "%s: its URL is too long", c->driver->name);
		return STEP_REFUSED;
	}
	sent = outbound_send(c->outbound, &rq, &answer, e);
	rate_done(c->rate, clock_mono_ms());
	if (sent != 0)
		return fail_of(e);
	t->status = answer.status;
	hear_rate(c, &answer);
	if ((step = step_of(answer.status)) == STEP_LATER)
		hold(c, &answer, times);
	if (step == STEP_READ && t->out != NULL &&
		panel_read(t->list, t->parent_id, answer.body.data, answer.body.len, t->out, e) != 0)
		step = read_failed(e);
	else if (step != STEP_READ)
		explain(c, t->list, answer.status, e);
	outbound_answer_fini(&answer);
	return step;
}

/* Until it says something that stays so. */
static enum panel_outcome insist(const struct panel_call *c, struct attempt *t, enum step *step, struct err *e)
{
	unsigned failed = 0, later = 0;

	while (wait_for_turn(c)) {
		*step = ask(c, t, later, e);
		if (c->stop(c->arg))
			break;
		if (*step != STEP_AGAIN && *step != STEP_LATER)
			return *step == STEP_REFUSED ? PANEL_REFUSED : PANEL_READ;
		if (*step == STEP_LATER ? ++later >= PATIENCE : ++failed >= TRIES)
			return PANEL_FAILED;
		if (*step == STEP_AGAIN && !nap(c, rand_backoff_ms(failed, BACKOFF_MS, BACKOFF_MAX_MS)))
			break;
	}
	panel_page_fini(t->out != NULL ? t->out : &(struct panel_page){ .n = 0 });
	err_set(e, ERR_CONFLICT, NULL, "told to stop");
	return PANEL_STOPPED;
}

enum panel_outcome panel_call_get(const struct panel_call *c, const struct panel_list *l, int64_t parent_id,
	int64_t page, struct panel_page *out, struct err *e)
{
	struct attempt t = { l, parent_id, page, out, 0 };
	enum step step = STEP_AGAIN;
	const enum panel_outcome outcome = insist(c, &t, &step, e);

	if (outcome != PANEL_READ)
		return outcome;
	if (step == STEP_GONE && l->parent == PANEL_KINDS)
		return PANEL_REFUSED;
	if (step == STEP_DENIED)
		out->denied |= l->kinds;
	if (step == STEP_GONE ||
		step == STEP_DENIED) /* what it hangs on was taken away meanwhile; or may not be read */
		out->pages = 1;
	return PANEL_READ;
}

enum panel_outcome panel_call_has(const struct panel_call *c, const struct panel_list *l, bool *has, struct err *e)
{
	const struct panel_call one = { c->driver, c->access, c->outbound, c->rate, c->timeout_ms, 1, c->stop, c->arg };
	struct attempt t = { l, 0, 1, NULL, 0 };
	enum step step = STEP_AGAIN;
	const enum panel_outcome outcome = insist(&one, &t, &step, e);

	*has = outcome == PANEL_READ && step != STEP_GONE;
	return outcome;
}
