/*
 * Messages to a Discord channel: one embed, its colour by severity, within Discord's limits; what its answers mean.
 *
 * Limits count UTF-16 code units here, which is never less than what Discord counts. Nobody is pinged: allowed_mentions is
 * empty whatever the text says. 401, 403 and 404 mean that the webhook is gone for good; calling again is punished.
 */
#include "controld/notify/format.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/notify/topic.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TITLE_MAX  256
#define FIELDS_MAX 25
#define NAME_MAX   256
#define VALUE_MAX  1024
#define FOOTER_MAX 256
#define TOTAL_MAX  6000 /* of all texts of an embed together */

#define BLOCKED_MS (10 * 60 * 1000) /* a 429 that says nothing comes from the wall in front: each further call counts */
#define PAUSE_MAX  (60 * 60 * 1000)

enum colour { RED = 0xE74C3C, ORANGE = 0xE67E22, GREEN = 0x2ECC71, BLUE = 0x3498DB };

/* ---- texts within limits ----------------------------------------------------------------------------------------- */

/* Bytes of the character at s, and how many UTF-16 units it is. */
static size_t step(const char *s, size_t *units)
{
	const unsigned char c = (unsigned char)*s;
	const size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	*units = n == 4 ? 2 : 1;
	return n;
}

/* How many bytes of s have at most `max` units; *units gets how many these are. s is UTF-8. */
static size_t fit(const char *s, size_t max, size_t *units)
{
	size_t bytes = 0;

	*units = 0;
	while (s[bytes] != '\0') {
		size_t u;
		const size_t n = step(s + bytes, &u);

		if (*units + u > max)
			break;
		*units += u;
		bytes += n;
	}
	return bytes;
}

struct embed {
	struct buf *out;
	size_t left; /* units of TOTAL_MAX */
	size_t n;    /* fields */
};

/* At most max units of a text, and an ellipsis for what is missing. */
static void put(struct embed *m, const char *key, const char *s, size_t max)
{
	struct buf cut;
	size_t units, n;

	max = MIN(max, m->left);
	n = fit(s, max, &units);
	if (s[n] == '\0') {
		m->left -= units;
		jsonw_str(m->out, key, s);
		return;
	}
	n = fit(s, max > 0 ? max - 1 : 0, &units);
	m->left -= max > 0 ? units + 1 : 0;
	buf_init(&cut, 4 * TOTAL_MAX);
	buf_printf(&cut, "%.*s%s", (int)n, s, max > 0 ? "\u2026" : "");
	jsonw_str(m->out, key, buf_cstr(&cut));
	buf_free(&cut);
}

static void put_field(struct embed *m, const char *name, const char *value)
{
	/* Discord refuses a message with an empty one; and a field that has no room is left out */
	if (m->n == FIELDS_MAX || *name == '\0' || value[strspn(value, " \t\r\n")] == '\0' || m->left < 32)
		return;
	m->n++;
	jsonw_object(m->out, NULL);
	put(m, "name", name, MIN((size_t)NAME_MAX, m->left / 2));
	put(m, "value", value, VALUE_MAX);
	jsonw_bool(m->out, "inline", strlen(value) <= 40);
	jsonw_end_object(m->out);
}

static void put_value(struct embed *m, const char *name, const json_t *v)
{
	char text[64], *list;

	if (json_is_string(v)) {
		put_field(m, name, json_string_value(v));
	} else if (json_is_integer(v)) {
		(void)str_fmt(text, sizeof text, "%lld", (long long)json_integer_value(v));
		put_field(m, name, text);
	} else if (json_is_real(v)) {
		(void)str_fmt(text, sizeof text, "%.6g", json_real_value(v));
		put_field(m, name, text);
	} else if (json_is_boolean(v)) {
		put_field(m, name, json_is_true(v) ? "yes" : "no");
	} else if (json_is_array(v) && json_array_size(v) > 0 && (list = json_dumps(v, JSON_COMPACT)) != NULL) {
		put_field(m, name, list);
		free(list);
	}
}

/* ---- what it is about -------------------------------------------------------------------------------------------- */

static bool has_word(const char *s, const char *const *words)
{
	for (; s != NULL && *words != NULL; words++)
		for (const char *p = s; *p != '\0'; p++)
			if (strncasecmp(p, *words, strlen(*words)) == 0)
				return true;
	return false;
}

/* As the sender says, else by what the event and its status are called. */
static enum colour colour_of(const char *event, const json_t *data)
{
	static const char *const bad[] = { "fail", "error", "critical", "dead", "refused", "down", "unhealthy", "reuse",
		NULL };
	static const char *const warn[] = { "warn", "delete", "pause", "suspend", "cancel", "expire", "dropped", NULL };
	static const char *const good[] = { "create", "complete", "success", "recover", "healthy", "resume", "added",
		NULL };
	const char *severity = json_string_value(json_object_get(data, "severity"));
	const char *status = json_string_value(json_object_get(data, "status"));
	const char *const said[] = { severity, status, event };

	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		if (has_word(said[i], bad))
			return RED;
		if (has_word(said[i], warn))
			return ORANGE;
		if (has_word(said[i], good))
			return GREEN;
	}
	return BLUE;
}

/* "sync.completed" as "Sync completed". */
static void title_of(const char *event, char *dst, size_t size)
{
	(void)str_copy(dst, size, event);
	if (dst[0] >= 'a' && dst[0] <= 'z')
		dst[0] = (char)(dst[0] - 'a' + 'A');
	for (char *p = dst; *p != '\0'; p++)
		if (*p == '.' || *p == '_')
			*p = ' ';
}

/* Of a change: what people know it by comes first, then the rest of the object; of an event that was sent, its data. */
static void put_fields(struct embed *m, const json_t *data)
{
	static const char *const first[] = { "subject", "actor", NULL };
	const char *name;
	json_t *v, *inner;

	for (size_t i = 0; first[i] != NULL; i++)
		put_value(m, first[i], json_object_get(data, first[i]));
	json_object_foreach((json_t *)(uintptr_t)data, name, v)
	{
		const char *inner_name;

		if (str_eq(name, first[0]) || str_eq(name, first[1]))
			continue;
		if (!json_is_object(v)) {
			put_value(m, name, v);
			continue;
		}
		json_object_foreach(v, inner_name, inner) put_value(m, inner_name, inner);
	}
}

/* What somebody has sent does not look like what has happened. */
static void put_sender(struct embed *m, const json_t *body)
{
	const char *origin = json_string_value(json_object_get(body, "origin"));
	const char *who = json_string_value(json_object_get(body, "sent_by"));
	char text[128];

	if (origin == NULL || who == NULL || !str_eq(origin, TOPIC_MANUAL))
		return;
	(void)str_fmt(text, sizeof text, "Sent by hand by %s", who);
	put(m, "description", text, sizeof text);
}

static void put_embed(struct embed *m, const json_t *body)
{
	const char *event = json_string_value(json_object_get(body, "event"));
	const char *time = json_string_value(json_object_get(body, "timestamp"));
	const char *id = json_string_value(json_object_get(body, "id"));
	const json_t *data = json_object_get(body, "data");
	char title[TITLE_MAX];

	title_of(event != NULL ? event : "event", title, sizeof title);
	jsonw_object(m->out, NULL);
	put(m, "title", title, TITLE_MAX);
	put_sender(m, body);
	jsonw_int(m->out, "color", colour_of(event, data));
	if (time != NULL)
		jsonw_str(m->out, "timestamp", time);
	if (id != NULL) {
		jsonw_object(m->out, "footer");
		put(m, "text", id, FOOTER_MAX);
		jsonw_end_object(m->out);
	}
	jsonw_array(m->out, "fields");
	put_fields(m, data);
	jsonw_end_array(m->out);
	jsonw_end_object(m->out);
}

static int render(const char *body, struct buf *out, struct err *e)
{
	json_t *parsed = json_loads(body, 0, NULL);
	struct embed m = { .out = out, .left = TOTAL_MAX };

	if (!json_is_object(parsed)) {
		json_decref(parsed);
		return err_set(e, ERR_INTERNAL, NULL, "the text is no JSON object");
	}
	jsonw_object(out, NULL);
	jsonw_str(out, "username", "Portway");
	jsonw_array(out, "embeds");
	put_embed(&m, parsed);
	jsonw_end_array(out);
	jsonw_object(out, "allowed_mentions");
	jsonw_array(out, "parse");
	jsonw_end_array(out);
	jsonw_end_object(out);
	jsonw_end_object(out);
	json_decref(parsed);
	return out->failed ? err_set(e, ERR_TOO_LARGE, NULL, "the message is too long") : 0;
}

/* ---- where to, and what comes back ------------------------------------------------------------------------------- */

static bool is_url(const char *url)
{
	static const char *const begins[] = { "https://discord.com/api/", "https://discordapp.com/api/",
		"https://ptb.discord.com/api/", "https://canary.discord.com/api/" };

	for (size_t i = 0; i < ARRAY_LEN(begins); i++)
		if (str_starts(url, begins[i]) && strstr(url, "/webhooks/") != NULL)
			return true;
	return false;
}

/* The last part of the path is the token, which is all that Discord asks for. */
static void show_url(const char *url, char *dst, size_t size)
{
	size_t n = strcspn(url, "?");

	while (n > 0 && url[n - 1] == '/')
		n--;
	while (n > 0 && url[n - 1] != '/')
		n--;
	(void)str_fmt(dst, size, "%.*s***", (int)MIN(n, size - 4), url);
}

static enum verdict judge(int status)
{
	if (status >= 200 && status < 300)
		return VERDICT_DELIVERED;
	switch (status) {
	case 401:
	case 403:
	case 404:
	case 410:
		return VERDICT_DEAD;
	case 408:
	case 429:
		return VERDICT_AGAIN;
	default:
		return status >= 400 && status < 500 ? VERDICT_REFUSED : VERDICT_AGAIN;
	}
}

/* Seconds, with a fraction; -1: no such number. */
static int64_t seconds_ms(double s)
{
	return isfinite(s) && s >= 0 ? (int64_t)ceil(MIN(s, PAUSE_MAX / 1000.0) * 1000) : -1;
}

static int64_t header_ms(struct outbound_answer *a, const char *name)
{
	char text[64], *end;
	double s;

	if (!outbound_header(a, name, text, sizeof text) || text[0] < '0' || text[0] > '9')
		return -1;
	s = strtod(text, &end);
	return *end == '\0' ? seconds_ms(s) : -1;
}

/* The body says it more exactly than the header, which counts whole seconds. */
static int64_t limited_ms(struct outbound_answer *a)
{
	json_t *body = json_loads(buf_cstr(&a->body), 0, NULL);
	const json_t *after = json_object_get(body, "retry_after");
	int64_t ms = json_is_number(after) ? seconds_ms(json_number_value(after)) : -1;

	json_decref(body);
	if (ms < 0)
		ms = header_ms(a, "Retry-After");
	if (ms < 0)
		ms = header_ms(a, "X-RateLimit-Reset-After");
	return ms < 0 ? BLOCKED_MS : ms;
}

/* When the bucket is empty the next one waits, instead of being refused. */
static int64_t pause_ms(struct outbound_answer *a)
{
	char left[16];
	uint64_t n;

	if (a->status == 429)
		return limited_ms(a);
	if (outbound_header(a, "X-RateLimit-Remaining", left, sizeof left) &&
		str_to_u64(left, 0, UINT64_MAX, &n) == 0 && n == 0)
		return MAX(header_ms(a, "X-RateLimit-Reset-After"), 0);
	return 0;
}

static bool header_is(struct outbound_answer *a, const char *name, const char *value)
{
	char text[32];

	return outbound_header(a, name, text, sizeof text) && strcasecmp(text, value) == 0;
}

/* A global limit says so; one that says nothing at all is of the wall in front, which counts what an address sends. */
static bool everywhere(struct outbound_answer *a)
{
	char text[64];
	json_t *body;
	bool global;

	if (a->status != 429)
		return false;
	body = json_loads(buf_cstr(&a->body), 0, NULL);
	global = json_is_true(json_object_get(body, "global")) || header_is(a, "X-RateLimit-Global", "true") ||
	         header_is(a, "X-RateLimit-Scope", "global") ||
	         (!json_is_number(json_object_get(body, "retry_after")) &&
			 !outbound_header(a, "Retry-After", text, sizeof text) &&
			 !outbound_header(a, "X-RateLimit-Reset-After", text, sizeof text));
	json_decref(body);
	return global;
}

const struct format format_discord = {
	.name = "discord",
	.is_url = is_url,
	.show_url = show_url,
	.render = render,
	.judge = judge,
	.pause_ms = pause_ms,
	.everywhere = everywhere,
};
