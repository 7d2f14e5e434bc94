#include "controld/notify/webhook_edit.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/notify/place_hold.h"
#include "controld/notify/room.h"
#include "controld/notify/webhook.h"
#include "controld/out/outbound.h"
#include "controld/store/changes.h"

#include <inttypes.h>
#include <string.h>

#define SECRET_BYTES 24
#define TEST_TOPIC   "webhook.test"

/* What a webhook of the platform hears of when nobody says what. */
static const struct {
	const char *type, *events;
} types[] = {
	{ "CUSTOM", "*" },
	{ "SYSTEM", "sync.*,job.dead,webhook.pause,node.*,group.*,tenant.*,setting.*,repo.*,config.*,master_key.*" },
	{ "SYNC", "sync.*" },
	{ "SECURITY", "login.login_failed,login.token_reuse,user.*,api_key.*,join_token.*,setting.*,master_key.*" },
	{ "BILLING", "billing.*" },
};
const char *const webhook_types[] = { "CUSTOM", "SYSTEM", "SYNC", "SECURITY", "BILLING", NULL };

_Static_assert(
	ARRAY_LEN(types) == WEBHOOK_EDIT_TYPES && ARRAY_LEN(webhook_types) == WEBHOOK_EDIT_TYPES + 1, "the same");

/* ---- taken from a body ------------------------------------------------------------------------------------------- */

void webhook_edit_new(struct webhook_edit *x, const struct request *rq, const char *tenant_id)
{
	memset(x, 0, sizeof *x);
	x->rq = rq;
	x->op = "create";
	rand_id(x->w.id, "whk");
	(void)str_copy(x->w.tenant_id, sizeof x->w.tenant_id, tenant_id);
	(void)str_copy(x->w.type, sizeof x->w.type, webhook_types[0]);
	x->w.enabled = true;
	x->w.version = 1;
	x->w.created_ms = x->w.updated_ms = clock_wall_ms();
}

int webhook_edit_read(struct notify *n, struct webhook_edit *x, const struct request *rq, const char *tenant_id,
	const char *id, struct err *e)
{
	struct db *db;
	int rc;

	memset(x, 0, sizeof *x);
	x->rq = rq;
	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	rc = webhook_get(db, tenant_id, id, &x->w, e);
	store_read_end(db);
	x->w.updated_ms = clock_wall_ms();
	return rc;
}

static void take_text(const json_t *body, const char *name, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(body, name));

	if (s != NULL)
		(void)str_copy(dst, size, s);
}

static const char *sent_url(const json_t *body)
{
	const char *url = json_string_value(json_object_get(body, "webhookUrl"));

	return url != NULL ? url : json_string_value(json_object_get(body, "url"));
}

/* A URL brings its kind with it, unless one was named. */
static int take_url(struct notify *n, struct webhook *w, const json_t *body, struct err *e)
{
	const char *url = sent_url(body), *format = json_string_value(json_object_get(body, "format"));
	const char *field = json_object_get(body, "webhookUrl") != NULL ? "webhookUrl" : "url";
	const struct format *found;

	/* printed clients send back what they were shown */
	if (url != NULL && !str_eq(url, w->url_shown)) {
		if (guard_check_url(outbound_guard(n->conf.outbound), field, url, e) != 0)
			return -1;
		(void)str_copy(w->url, sizeof w->url, url);
		found = format_of_url(url);
		if (w->format[0] == '\0' || found->is_url != NULL)
			(void)str_copy(w->format, sizeof w->format, found->name);
	}
	if (format != NULL)
		(void)str_copy(w->format, sizeof w->format, format);
	if ((found = format_find(w->format)) != NULL)
		found->show_url(w->url, w->url_shown, sizeof w->url_shown);
	return 0;
}

static void default_events(struct webhook *w)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (w->events[0] == '\0' && str_eq(w->type, types[i].type))
			(void)str_copy(w->events, sizeof w->events, types[i].events);
}

int webhook_edit_take(struct notify *n, struct webhook_edit *x, struct err *e)
{
	const json_t *body = request_body(x->rq);
	const json_t *events = json_object_get(body, "events"), *enabled = json_object_get(body, "enabled");
	struct webhook *w = &x->w;

	take_text(body, "name", w->name, sizeof w->name);
	take_text(body, "type", w->type, sizeof w->type);
	take_text(body, "description", w->description, sizeof w->description);
	take_text(body, "secret", w->secret, sizeof w->secret);
	if (enabled != NULL) {
		x->restart = json_is_true(enabled) && !w->enabled;
		w->enabled = json_is_true(enabled);
		w->paused[0] = '\0';
		w->failures = 0;
	}
	if (events != NULL && topic_list_take(events, w->events, sizeof w->events, e) != 0)
		return -1;
	default_events(w);
	return take_url(n, w, body, e);
}

/* ---- written ----------------------------------------------------------------------------------------------------- */

static int log_change(struct db *tx, struct webhook_edit *x, int64_t *seq, struct err *e)
{
	struct change change = { .time_ms = x->w.updated_ms,
		.actor = request_identity(x->rq)->actor,
		.request_id = request_id(x->rq),
		.op = x->op,
		.fields = "" };

	return webhook_log(tx, &x->w, &change, seq, e);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct webhook_edit *x = arg;
	int64_t n;

	if (webhook_count(tx, x->w.tenant_id, &n, e) != 0)
		return -1;
	if (n >= WEBHOOKS_MAX)
		return err_set(e, ERR_LIMIT, NULL, "there are %d webhooks, which is the most", WEBHOOKS_MAX);
	return log_change(tx, x, &x->w.from_seq, e) != 0 ? -1 : webhook_insert(tx, &x->w, e);
}

static void make_secret(struct webhook *w)
{
	uint8_t bytes[SECRET_BYTES];
	char text[2 * SECRET_BYTES + 1];

	rand_bytes(bytes, sizeof bytes);
	str_hex(text, bytes, sizeof bytes);
	(void)str_fmt(w->secret, sizeof w->secret, "whs_%s", text);
}

int webhook_edit_create(struct notify *n, struct webhook_edit *x, struct err *e)
{
	if (x->w.secret[0] == '\0') {
		make_secret(&x->w);
		x->secret_made = format_find(x->w.format)->is_signed;
	}
	return store_write(n->conf.store, STORE_LOGGED, work_create, x, e);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct webhook_edit *x = arg;
	int64_t seq;

	if (log_change(tx, x, &seq, e) != 0)
		return -1;
	if (x->restart)
		x->w.from_seq = seq;
	return webhook_update(tx, &x->w, e);
}

int webhook_edit_update(struct notify *n, struct webhook_edit *x, struct err *e)
{
	x->op = "update";
	if (store_write(n->conf.store, STORE_LOGGED, work_update, x, e) != 0)
		return -1;
	x->w.version++;
	return 0;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct webhook_edit *x = arg;

	return webhook_delete(tx, x->w.id, e) != 0 ? -1 : log_change(tx, x, NULL, e);
}

int webhook_edit_delete(struct notify *n, struct webhook_edit *x, struct err *e)
{
	x->op = "delete";
	return store_write(n->conf.store, STORE_LOGGED, work_delete, x, e);
}

/* ---- tested ------------------------------------------------------------------------------------------------------ */

struct testing {
	const struct webhook *w;
	struct delivery d;
	struct delivery_result result;
};

static int work_note_test(struct db *tx, void *arg, struct err *e)
{
	struct testing *t = arg;

	return delivery_note_test(tx, t->w, &t->d, &t->result, e);
}

static void test_body(struct testing *t)
{
	static const uint8_t log_id[CHANGES_LOG_ID_SIZE];
	struct buf shown;

	buf_init(&shown, CHANGES_OBJECT_MAX);
	webhook_print(&shown, t->w, false);
	topic_body(&t->d.body,
		&(struct change){ .time_ms = clock_wall_ms(),
			.tenant = t->w->tenant_id,
			.actor = "system",
			.kind = "webhook",
			.op = "test",
			.subject = t->w->id,
			.fields = "",
			.object = buf_cstr(&shown) },
		TEST_TOPIC, log_id);
	buf_free(&shown);
}

/* VERDICT_AGAIN: the place is not to be called now, by a test either. */
static int held(struct notify *n, const struct webhook *w, struct attempt *a, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	char place[PLACE_SIZE];
	int64_t until_ms;
	struct db *db;
	int rc;

	*a = (struct attempt){ .verdict = VERDICT_DELIVERED };
	place_of(place, w);
	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	rc = place_held(db, place, now_ms, &until_ms, e);
	store_read_end(db);
	if (rc != 0 || until_ms == 0)
		return rc;
	a->verdict = VERDICT_AGAIN;
	(void)str_fmt(a->error, sizeof a->error, "not sent: %.80s asked for a pause of %" PRId64 " s more", place,
		(until_ms - now_ms + 999) / 1000);
	return 0;
}

int webhook_edit_test(struct notify *n, const struct webhook *w, struct webhook_test *out, struct err *e)
{
	const struct attempt_conf conf = { n->conf.outbound, n->conf.timeout_ms, notify_is_stopping, n };
	struct testing t = { .w = w };
	int rc;

	rand_id(t.d.id, "dlv");
	(void)str_copy(out->id, sizeof out->id, t.d.id);
	(void)str_copy(t.d.topic, sizeof t.d.topic, TEST_TOPIC);
	buf_init(&t.d.body, TOPIC_BODY_MAX);
	test_body(&t);
	if (held(n, w, &out->attempt, e) != 0)
		goto fail;
	if (out->attempt.verdict != VERDICT_AGAIN)
		attempt_make(&out->attempt, &conf, w, &t.d);
	t.result =
		(struct delivery_result){ .state = out->attempt.verdict == VERDICT_DELIVERED ? "delivered" : "failed",
			.status = out->attempt.status,
			.latency_ms = out->attempt.latency_ms,
			.now_ms = clock_wall_ms(),
			.error = out->attempt.error };
	rc = store_write(n->conf.store, STORE_OPERATIONAL, work_note_test, &t, e);
	buf_free(&t.d.body);
	return rc;
fail:
	buf_free(&t.d.body);
	return -1;
}
