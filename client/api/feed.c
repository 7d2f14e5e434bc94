#include "client/api/feed.h"

#include "client/api/api.h"
#include "client/api/http_options.h"
#include "client/api/session.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_SIZE   64   /* of a line as much as is looked at */
#define SILENCE_S   60L  /* without a sign of life: the stream has died */
#define RETRY_MS    1000 /* before it is begun again */
#define SETTLE_MS   1000 /* after a change: what follows from it (relays taking it up) is no change of its own */
#define GIVE_UP_MAX 3    /* refusals in a row */

struct feed {
	struct api *api;
	char url[1024];
	CURLM *multi;
	CURL *curl; /* NULL: no stream */
	struct curl_slist *headers;
	char line[LINE_SIZE]; /* the one that is coming */
	size_t len;
	bool live;    /* "ready" came */
	bool changed; /* since the last look */
	unsigned refused;
	uint64_t retry_at_ms, settle_at_ms;
	atomic_bool interrupted;
};

/* ---- what comes ----------------------------------------------------------------------------------------------------- */

/* Only the names of events matter. The first "ready" is no news; one after a pause is: something may have been missed. */
static void on_line(struct feed *f)
{
	static const char event[] = "event: ";
	const char *name = f->line + sizeof event - 1;

	if (!str_starts(f->line, event) || str_eq(name, "closed"))
		return;
	if (str_eq(name, "ready"))
		f->live = true;
	f->refused = 0;
	f->changed = true;
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct feed *f = arg;

	for (size_t i = 0; i < size * n; i++) {
		if (p[i] != '\n') {
			if (f->len + 1 < LINE_SIZE && p[i] != '\r')
				f->line[f->len++] = p[i];
			continue;
		}
		f->line[f->len] = '\0';
		f->len = 0;
		on_line(f);
	}
	return size * n;
}

/* ---- the stream ------------------------------------------------------------------------------------------------------ */

static void hang_up(struct feed *f)
{
	if (f->curl != NULL) {
		curl_multi_remove_handle(f->multi, f->curl);
		curl_easy_cleanup(f->curl);
	}
	curl_slist_free_all(f->headers);
	f->curl = NULL;
	f->headers = NULL;
	f->live = false;
	f->len = 0;
	f->retry_at_ms = clock_mono_ms() + RETRY_MS;
}

static int add_header(struct feed *f, const char *line)
{
	struct curl_slist *more = curl_slist_append(f->headers, line);

	if (more == NULL)
		return -1;
	f->headers = more;
	return 0;
}

static int make_headers(struct feed *f)
{
	char who[SESSION_HEADER_SIZE];
	int rc = api_credentials(f->api, who, sizeof who);

	if (rc == 0 && who[0] != '\0')
		rc = add_header(f, who);
	explicit_bzero(who, sizeof who);
	return rc == 0 ? add_header(f, "Accept: text/event-stream") : -1;
}

static void call(struct feed *f)
{
	const char *ca = api_ca_file(f->api);

	f->curl = curl_easy_init();
	if (f->curl == NULL || make_headers(f) != 0) {
		hang_up(f);
		return;
	}
	http_set_options(f->curl, f->url, ca[0] != '\0' ? ca : NULL);
	curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->headers);
	curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	curl_easy_setopt(f->curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, f);
	if (curl_multi_add_handle(f->multi, f->curl) != CURLM_OK)
		hang_up(f);
}

/* Moves bytes; a stream that has ended is let go. An answer that is none of ours counts as a refusal. */
static void turn(struct feed *f)
{
	int running = 0;

	if (f->curl == NULL && f->refused < GIVE_UP_MAX && clock_mono_ms() >= f->retry_at_ms)
		call(f);
	if (f->curl == NULL)
		return;
	if (curl_multi_perform(f->multi, &running) == CURLM_OK && running > 0)
		return;
	if (!f->live) {
		long status = 0;

		curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
		f->refused += status >= 400 && status < 500;
	}
	hang_up(f);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */

static void pause_ms(uint64_t ms)
{
	const struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&t, NULL);
}

bool feed_wait(struct feed *f, uint64_t live_ms, uint64_t blind_ms)
{
	const uint64_t began = clock_mono_ms();
	uint64_t now, end;

	if (f == NULL) {
		pause_ms(blind_ms);
		return false;
	}
	while (!atomic_load(&f->interrupted)) {
		turn(f);
		now = clock_mono_ms();
		if (f->changed) {
			f->changed = false;
			f->settle_at_ms = now + SETTLE_MS;
			return true;
		}
		end = began + (f->live ? live_ms : blind_ms);
		if (f->settle_at_ms > 0 && now >= f->settle_at_ms) {
			f->settle_at_ms = 0;
			return false;
		}
		if (now >= end)
			return false;
		if (f->settle_at_ms > 0)
			end = MIN(end, f->settle_at_ms);
		(void)curl_multi_poll(f->multi, NULL, 0, (int)MIN(end - now, RETRY_MS), NULL);
	}
	return false;
}

void feed_pause(struct feed *f, uint64_t ms)
{
	const uint64_t end = clock_mono_ms() + ms;

	for (uint64_t now = clock_mono_ms(); now < end && !atomic_load(&f->interrupted); now = clock_mono_ms()) {
		turn(f);
		(void)curl_multi_poll(f->multi, NULL, 0, (int)MIN(end - now, RETRY_MS), NULL);
	}
}

void feed_interrupt(struct feed *f)
{
	atomic_store(&f->interrupted, true);
	(void)curl_multi_wakeup(f->multi);
}

int feed_open(struct feed **out, struct api *a, const char *kinds, struct err *e)
{
	struct feed *f = calloc(1, sizeof *f);

	if (f == NULL || (f->multi = curl_multi_init()) == NULL) {
		free(f);
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	}
	f->api = a;
	f->refused = kinds == NULL ? GIVE_UP_MAX : 0;
	if (kinds != NULL && str_fmt(f->url, sizeof f->url, "%s/api/v1/events%s%s", api_url(a),
				     kinds[0] != '\0' ? "?kinds=" : "", kinds) != 0) {
		feed_close(f);
		return err_set(e, ERR_VALIDATION, NULL, "the address is too long");
	}
	*out = f;
	return 0;
}

void feed_close(struct feed *f)
{
	if (f == NULL)
		return;
	hang_up(f);
	curl_multi_cleanup(f->multi);
	free(f);
}
