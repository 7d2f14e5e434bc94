/* The job that sends one mail: rendered, posted with its own id as idempotency key, judged. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/jobs/job_run.h"
#include "controld/mail/letter.h"
#include "controld/mail/room.h"
#include "controld/mail/suppression.h"
#include "controld/out/outbound.h"
#include "controld/platform/platform.h"

#include <inttypes.h>
#include <string.h>

#define ATTEMPTS        10
#define BACKOFF_MS      2000
#define BACKOFF_MAX_MS  (60 * 60 * 1000)
#define NEAR_MS         250  /* a turn that is so near is waited for */
#define HOLD_MS         1000 /* when the service says to wait and not how long */
#define HOLD_MAX_S      3600
#define KEY_LIFE_MS     (23 * 3600 * 1000) /* the service forgets idempotency keys after a day */
#define ANSWER_MAX      16384
#define MAIL_BODY_MAX   (4 * LETTER_BODY_MAX)
#define SAVED_TURN      "turn"
#define FROM_MAX        254
#define SERVICE_KEY_MAX 512

/* ---- what is sent ------------------------------------------------------------------------------------------------- */

struct sending {
	struct mail *mail;
	struct job_run *job;
	char from[FROM_MAX + 1];
	char key[SERVICE_KEY_MAX + 1];
	struct buf body;
};

static const char *arg_of(const struct sending *s, const char *name)
{
	return json_string_value(json_object_get(job_run_args(s->job), name));
}

static int read_settings(struct sending *s, struct err *e)
{
	struct platform *p = s->mail->conf.platform;

	if (platform_text(p, SETTING_EMAIL_FROM, s->from, sizeof s->from, e) != 0 ||
		platform_text(p, SETTING_RESEND_API_KEY, s->key, sizeof s->key, e) != 0)
		return -1;
	if (s->from[0] != '\0' && s->key[0] != '\0')
		return 0;
	job_run_give_up(s->job);
	return err_set(e, ERR_UNAVAILABLE, NULL, "mail is not set up: set RESEND_API_KEY and EMAIL_FROM");
}

/* The same bytes each time: the service refuses another mail with the same key. */
static int write_body(struct sending *s, struct err *e)
{
	const struct letter *l = letter_find(arg_of(s, "template"));
	struct letter_made made;

	if (l == NULL) {
		job_run_give_up(s->job);
		return err_set(e, ERR_VALIDATION, "template", "template: there is no '%.40s'", arg_of(s, "template"));
	}
	if (letter_make(&made, l, arg_of(s, "subject"), json_object_get(job_run_args(s->job), "data"), e) != 0) {
		job_run_give_up(s->job);
		return -1;
	}
	jsonw_object(&s->body, NULL);
	jsonw_str(&s->body, "from", s->from);
	jsonw_array(&s->body, "to");
	jsonw_str(&s->body, NULL, arg_of(s, "to"));
	jsonw_end_array(&s->body);
	jsonw_str(&s->body, "subject", buf_cstr(&made.subject));
	jsonw_str(&s->body, "html", buf_cstr(&made.html));
	jsonw_str(&s->body, "text", buf_cstr(&made.text));
	jsonw_end_object(&s->body);
	letter_made_fini(&made);
	return s->body.failed ? err_set(e, ERR_NOMEM, NULL, "mail: out of memory") : 0;
}

/* ---- what comes of it --------------------------------------------------------------------------------------------- */

static uint64_t wait_of(struct outbound_answer *a)
{
	char text[32];
	uint64_t s;

	if (!outbound_header(a, "retry-after", text, sizeof text) || str_to_u64(text, 0, UINT64_MAX, &s) != 0 || s == 0)
		return HOLD_MS + rand_below(HOLD_MS);
	return MIN(s, HOLD_MAX_S) * 1000 + rand_below(HOLD_MS);
}

static void accepted(struct sending *s, const char *id, const char *remark)
{
	job_run_result(s->job, json_pack("{s:s, s:s*, s:s*}", "status", "sent", "id", id, "remark", remark));
}

/* The service wants us to come back: no failure. */
static int come_back(struct sending *s, uint64_t ms)
{
	job_run_again_in(s->job, ms);
	return 0;
}

static int refused(struct sending *s, int status, const char *name, const char *message, struct err *e)
{
	if (status < 500)
		job_run_give_up(s->job);
	return err_set(e, ERR_UNAVAILABLE, NULL, "the mail service answered %d %.60s: %.120s", status, name, message);
}

static const char *text_of(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));

	return s != NULL ? s : "";
}

static int judge(struct sending *s, struct outbound_answer *a, const json_t *said, struct err *e)
{
	const char *name = text_of(said, "name");
	uint64_t wait;

	if (a->status == 200 || a->status == 201) {
		accepted(s, text_of(said, "id"), NULL);
		return 0;
	}
	if (a->status == 429 && !str_eq(name, "daily_quota_exceeded") && !str_eq(name, "monthly_quota_exceeded")) {
		wait = wait_of(a);
		mail_hold(s->mail, wait);
		return come_back(s, wait);
	}
	if (a->status == 409 && str_eq(name, "invalid_idempotent_request")) {
		accepted(s, NULL, "an attempt before was accepted, with other words");
		return 0;
	}
	if (a->status == 409)
		return come_back(s, HOLD_MS + rand_below(HOLD_MS));
	return refused(s, a->status, name, text_of(said, "message"), e);
}

static bool on_stop(void *arg)
{
	return job_run_stop(arg);
}

static int post(struct sending *s, struct err *e)
{
	char url[600], bearer[SERVICE_KEY_MAX + 32], idempotency[128];
	const char *const headers[] = { bearer, idempotency, "Content-Type: application/json",
		"Accept: application/json", NULL };
	const struct outbound_request rq = { .method = "POST",
		.url = url,
		.headers = headers,
		.body = buf_cstr(&s->body),
		.body_n = s->body.len,
		.timeout_ms = s->mail->conf.timeout_ms,
		.answer_max = ANSWER_MAX,
		.stop = on_stop,
		.arg = s->job };
	struct outbound_answer answer;
	json_t *said;
	int rc;

	(void)str_fmt(url, sizeof url, "%s/emails", s->mail->conf.url);
	(void)str_fmt(bearer, sizeof bearer, "Authorization: Bearer %s", s->key);
	(void)str_fmt(idempotency, sizeof idempotency, "Idempotency-Key: %s", job_run_id(s->job));
	rc = outbound_send(s->mail->conf.outbound, &rq, &answer, e);
	seal_wipe(bearer, sizeof bearer);
	if (rc != 0)
		return job_run_stop(s->job) ? job_run_ended(s->job, e) : -1;
	said = json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL);
	rc = judge(s, &answer, said, e);
	json_decref(said);
	outbound_answer_fini(&answer);
	return rc;
}

/* ---- one attempt --------------------------------------------------------------------------------------------------- */

/* *done: it gets none. */
static int suppressed(struct sending *s, bool *done, struct err *e)
{
	char reason[SUPPRESSION_REASON_MAX + 1];
	struct db *db;
	int rc;

	if (store_read_begin(job_run_store(s->job), &db, e) != 0)
		return -1;
	rc = suppression_find(db, arg_of(s, "to"), done, reason, e);
	store_read_end(db);
	if (rc == 0 && *done)
		job_run_result(s->job, json_pack("{s:s, s:s}", "status", "suppressed", "reason", reason));
	return rc;
}

/* *wait: its turn is later, and it comes back then. */
static int take_turn(struct sending *s, uint64_t *wait, struct err *e)
{
	*wait = 0;
	if (*job_run_saved(s->job) != '\0')
		return 0;
	if ((*wait = mail_take_turn(s->mail)) <= NEAR_MS) {
		(void)job_run_sleep(s->job, *wait);
		*wait = 0;
		return 0;
	}
	return job_run_save(s->job, SAVED_TURN, e);
}

/* From the first attempt on the service may have it. After a day nobody can tell, and twice is worse than not at all. */
static int note_attempt(struct sending *s, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	char text[32];
	int64_t first_ms;

	if (str_to_i64(job_run_saved(s->job), 0, INT64_MAX, &first_ms) != 0) {
		(void)str_fmt(text, sizeof text, "%" PRId64, now_ms);
		return job_run_save(s->job, text, e);
	}
	if (now_ms - first_ms < KEY_LIFE_MS)
		return 0;
	job_run_give_up(s->job);
	return err_set(e, ERR_OUTCOME_UNKNOWN, NULL, "it was tried for a day, and it is not known whether it was sent");
}

static int send_mail(struct sending *s, struct err *e)
{
	uint64_t wait;
	bool done;

	if (suppressed(s, &done, e) != 0)
		return -1;
	if (done)
		return 0;
	if (read_settings(s, e) != 0 || write_body(s, e) != 0 || take_turn(s, &wait, e) != 0)
		return -1;
	if (wait > 0)
		return come_back(s, wait);
	if (job_run_stop(s->job))
		return job_run_ended(s->job, e);
	return note_attempt(s, e) != 0 ? -1 : post(s, e);
}

static int run_mail(void *feature, struct job_run *r, struct err *e)
{
	struct sending s = { .mail = feature, .job = r };
	int rc;

	buf_init(&s.body, MAIL_BODY_MAX);
	rc = send_mail(&s, e);
	buf_free(&s.body);
	seal_wipe(s.key, sizeof s.key);
	return rc;
}

static const struct schema_field fields[] = {
	{ .name = "to",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.max = SUPPRESSION_ADDRESS_MAX,
		.format = SCHEMA_FORMAT_EMAIL },
	{ .name = "subject", .type = SCHEMA_STRING, .min = 1, .max = LETTER_SUBJECT_MAX },
	{ .name = "template", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .choices = letter_names },
	{ .name = "data", .type = SCHEMA_ANY, .flags = SCHEMA_SECRET, .help = "what the template takes" },
};
static const struct schema args_schema = { "JobEmail", fields, ARRAY_LEN(fields), false };

const struct job_kind mail_job_kinds[] = {
	{ MAIL_KIND, JOB_CRITICAL, ATTEMPTS, 5 * 60 * 1000, BACKOFF_MS, BACKOFF_MAX_MS, 0, PERM_PUBLIC, &args_schema,
		run_mail, "Sends one mail" },
};
const size_t mail_job_kinds_n = ARRAY_LEN(mail_job_kinds);
