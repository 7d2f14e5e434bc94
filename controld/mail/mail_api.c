/* Mail over the API: queued, the templates, the addresses that get none, and what the mail service tells. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/jobs/jobs.h"
#include "controld/mail/letter.h"
#include "controld/mail/room.h"
#include "controld/mail/suppression.h"
#include "controld/mail/svix.h"
#include "controld/mail/template.h"
#include "controld/rest/schema_format.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

/* ---- queueing ----------------------------------------------------------------------------------------------------- */

static bool is_one_line(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return false;
	return true;
}

/* What the job would fail for is said now. */
static int check(
	const struct request *rq, const struct letter *l, const json_t *data, struct err_list *errs, struct err *e)
{
	const char *subject = json_string_value(json_object_get(request_body(rq), "subject"));
	struct letter_made made;
	char *text;

	if (subject != NULL && !is_one_line(subject))
		err_list_add(errs, ERR_VALIDATION, "subject", "format", "", "subject: must be one line");
	if (!json_is_object(data))
		err_list_add(errs, ERR_VALIDATION, "data", "type", "", "data: must be an object");
	else
		letter_check(l, data, errs);
	if (errs->n > 0) {
		*e = errs->items[0];
		return -1;
	}
	if ((text = json_dumps(data, JSON_COMPACT)) == NULL || strlen(text) > MAIL_DATA_MAX) {
		free(text);
		return err_set(e, ERR_TOO_LARGE, "data", "data: longer than %d bytes", MAIL_DATA_MAX);
	}
	free(text);
	if (letter_make(&made, l, subject, data, e) != 0)
		return -1;
	letter_made_fini(&made);
	return 0;
}

/* Of no tenant: whom the platform writes to is no business of those who are in the tenant of its administrator. */
static int enqueue(
	struct mail *m, const struct request *rq, const json_t *data, struct job_placed *placed, struct err *e)
{
	const struct identity *who = request_identity(rq);
	const json_t *body = request_body(rq);
	json_t *args = json_pack("{s:s, s:s, s:O, s:s*}", "to", json_string_value(json_object_get(body, "to")),
		"template", json_string_value(json_object_get(body, "template")), "data", data, "subject",
		json_string_value(json_object_get(body, "subject")));
	const struct job_order o = { .kind = MAIL_KIND,
		.user_id = who->user_id,
		.actor = who->actor,
		.request_id = request_id(rq),
		.args = args };
	const int rc = args != NULL ? jobs_enqueue(m->conf.jobs, &o, placed, e)
	                            : err_set(e, ERR_NOMEM, NULL, "mail: out of memory");

	json_decref(args);
	return rc;
}

static void reply_queued(struct reply *rp, const char *job_id)
{
	char location[64];
	struct buf *b;

	(void)str_fmt(location, sizeof location, "/api/v1/jobs/%s", job_id);
	reply_header(rp, "Location", location);
	b = reply_open(rp, 202, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	jsonw_object(b, "data");
	jsonw_str(b, "task_id", job_id);
	jsonw_str(b, "status", "PENDING");
	jsonw_end_object(b);
	jsonw_str(b, "message", "Email has been queued");
	jsonw_end_object(b);
}

static int api_queue(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const json_t *body = request_body(rq), *data = json_object_get(body, "data");
	json_t *none = json_object();
	const struct letter *l = letter_find(json_string_value(json_object_get(body, "template")));
	struct job_placed placed = { .there = false };
	int rc;

	if (data == NULL)
		data = none;
	if ((rc = check(rq, l, data, request_errors(rq), e)) == 0)
		rc = enqueue(feature, rq, data, &placed, e);
	json_decref(none);
	if (rc != 0)
		return -1;
	reply_queued(rp, placed.id);
	return 0;
}

static void print_words(struct buf *b, const char *key, const char *words)
{
	jsonw_array(b, key);
	while (*words != '\0') {
		const size_t n = strcspn(words, " ");
		char one[TEMPLATE_NAME_MAX + 1];

		(void)str_fmt(one, sizeof one, "%.*s", (int)n, words);
		jsonw_str(b, NULL, one);
		words += n + (words[n] == ' ');
	}
	jsonw_end_array(b);
}

static int api_templates(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct buf *b = reply_open(rp, 200, JSON_TYPE);

	(void)feature, (void)rq, (void)e;
	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	jsonw_array(b, "data");
	for (size_t i = 0; i < letters_n; i++) {
		jsonw_object(b, NULL);
		jsonw_str(b, "name", letters[i].name);
		jsonw_str(b, "summary", letters[i].summary);
		jsonw_str(b, "subject", letters[i].subject);
		print_words(b, "required", letters[i].needs);
		print_words(b, "optional", letters[i].takes);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
	jsonw_end_object(b);
	return 0;
}

/* ---- who gets none -------------------------------------------------------------------------------------------------- */

static int api_suppressions(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mail *m = feature;
	char last[SUPPRESSION_ADDRESS_MAX + 1];
	struct page page;
	struct buf *b;
	struct db *db;
	bool more;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(m->conf.store, &db, e) != 0)
		return -1;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_array(b, "items");
	rc = suppression_print(db, page.after, page.limit, b, last, &more, e);
	store_read_end(db);
	jsonw_end_array(b);
	jsonw_str(b, "next_cursor", more ? last : NULL);
	jsonw_end_object(b);
	return rc;
}

struct changing {
	const char *address, *reason;
	const char *actor, *request_id, *op;
};

static int log_change(struct db *tx, const struct changing *c, int64_t now_ms, struct err *e)
{
	const struct change change = { .time_ms = now_ms,
		.tenant = "",
		.actor = c->actor,
		.request_id = c->request_id,
		.kind = "email_suppression",
		.op = c->op,
		.subject = c->address,
		.fields = "" };

	return changes_append(tx, &change, NULL, e);
}

static int work_add(struct db *tx, void *arg, struct err *e)
{
	const struct changing *c = arg;
	const int64_t now_ms = clock_wall_ms();
	const int n = suppression_add(tx, c->address, c->reason, now_ms, e);

	return n <= 0 ? n : log_change(tx, c, now_ms, e);
}

static int work_remove(struct db *tx, void *arg, struct err *e)
{
	const struct changing *c = arg;

	return suppression_remove(tx, c->address, e) != 0 ? -1 : log_change(tx, c, clock_wall_ms(), e);
}

static int api_unsuppress(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mail *m = feature;
	struct changing c = { request_param(rq, "address"), "", request_identity(rq)->actor, request_id(rq), "delete" };

	if (store_write(m->conf.store, STORE_LOGGED, work_remove, &c, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- what the service tells ------------------------------------------------------------------------------------------ */

/* Why mail to these is to end; NULL: it is not. A mailbox that is full for now is no reason. */
static const char *reason_of(const json_t *event)
{
	static const struct {
		const char *type, *reason;
	} ends[] = { { "email.bounced", "bounced" }, { "email.complained", "complained" },
		{ "email.suppressed", "suppressed by the service" } };
	const char *type = json_string_value(json_object_get(event, "type"));
	const json_t *bounce = json_object_get(json_object_get(event, "data"), "bounce");

	if (str_eq(json_string_value(json_object_get(bounce, "type")), "Transient"))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_eq(type, ends[i].type))
			return ends[i].reason;
	return NULL;
}

static int suppress_all(struct mail *m, const struct request *rq, const json_t *event, struct err *e)
{
	const json_t *to = json_object_get(json_object_get(event, "data"), "to"), *one;
	struct changing c = { NULL, reason_of(event), "system", request_id(rq), "create" };
	size_t i;

	if (c.reason == NULL)
		return 0;
	json_array_foreach(to, i, one)
	{
		if (!json_is_string(one) || !schema_format_ok(SCHEMA_FORMAT_EMAIL, json_string_value(one)))
			continue;
		c.address = json_string_value(one);
		if (store_write(m->conf.store, STORE_LOGGED, work_add, &c, e) != 0)
			return -1;
		log_info("email_suppressed", log_s("reason", c.reason));
	}
	return 0;
}

static int api_event(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mail *m = feature;
	struct svix_message message = { request_header(rq, "svix-id"), request_header(rq, "svix-timestamp"),
		request_header(rq, "svix-signature"), NULL, 0 };
	json_t *event;
	int rc;

	message.body = request_raw_body(rq, &message.n);
	if (!svix_verify(m->conf.webhook_secret, &message, clock_wall_ms() / 1000))
		return err_set(e, ERR_AUTHENTICATION_FAILED, NULL,
			"the event's signature is not right; mail.webhook_secret must be the service's");
	if ((event = json_loadb(message.body, message.n, 0, NULL)) == NULL)
		return err_set(e, ERR_BAD_REQUEST, NULL, "the event is no JSON");
	rc = suppress_all(m, rq, event, e);
	json_decref(event);
	if (rc != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- routes ---------------------------------------------------------------------------------------------------------- */

static const struct schema_field queue_fields[] = {
	{ .name = "to",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.max = SUPPRESSION_ADDRESS_MAX,
		.format = SCHEMA_FORMAT_EMAIL },
	{ .name = "subject",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = LETTER_SUBJECT_MAX,
		.help = "default: the template's own" },
	{ .name = "template", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .choices = letter_names },
	{ .name = "data",
		.type = SCHEMA_ANY,
		.flags = SCHEMA_SECRET,
		.help = "an object: what the template takes (GET /api/v1/email/templates)" },
};
static const struct schema queue_schema = { "Email", queue_fields, ARRAY_LEN(queue_fields), false };

static const struct schema_field page_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
};
static const struct schema page_query = { NULL, page_fields, ARRAY_LEN(page_fields), false };

#define MAIL "/api/v1/email/"
#define SYS  PERM_SYSTEM

const struct route mail_rows[] = {
	{ "POST", MAIL "queue", SYS, LANE_DB, NULL, &queue_schema, NULL, 202, 0, api_queue, "Send a mail", "Email" },
	{ "GET", MAIL "templates", SYS, LANE_LOOP, NULL, NULL, NULL, 200, 0, api_templates,
		"List templates and what they take", "Email" },
	{ "GET", MAIL "suppressions", SYS, LANE_DB, &page_query, NULL, NULL, 200, 0, api_suppressions,
		"List addresses that get no mail any more", "Email" },
	{ "DELETE", MAIL "suppressions/{address}", SYS, LANE_DB, NULL, NULL, NULL, 204, 0, api_unsuppress,
		"Let an address get mail again", "Email" },
	{ "POST", MAIL "events", PERM_PUBLIC, LANE_DB, NULL, NULL, NULL, 204, ROUTE_RAW_BODY, api_event,
		"What the mail service tells, signed", "Email" },
};
const size_t mail_rows_n = ARRAY_LEN(mail_rows);
