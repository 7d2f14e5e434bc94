#include "controld/notify/attempt.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/out/outbound.h"

#include <inttypes.h>
#include <string.h>

#define ANSWER_MAX  16384
#define HEADER_SIZE 160

static void sign(char dst[ATTEMPT_SIGNATURE_SIZE], const char *prefix, const char *secret, const void *p, size_t n)
{
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	seal_hmac_sha256(secret, strlen(secret), p, n, digest);
	str_hex(hex, digest, sizeof digest);
	(void)str_fmt(dst, ATTEMPT_SIGNATURE_SIZE, "%s=%s", prefix, hex);
}

void attempt_sign(char dst[ATTEMPT_SIGNATURE_SIZE], const char *secret, const void *body, size_t n)
{
	sign(dst, "sha256", secret, body, n);
}

void attempt_sign_at(char dst[ATTEMPT_SIGNATURE_SIZE], const char *secret, int64_t time_s, const char *body)
{
	struct buf b;

	buf_init(&b, 2 * TOPIC_BODY_MAX);
	buf_printf(&b, "%" PRId64 ".%s", time_s, body);
	sign(dst, "v1", secret, buf_cstr(&b), b.len);
	buf_free(&b);
}

uint64_t attempt_backoff_ms(int64_t n, uint64_t first_ms, uint64_t most_ms)
{
	uint64_t d = first_ms;

	while (--n > 0 && d < most_ms)
		d *= 2;
	d = MIN(d, most_ms);
	return d - d / 2 + rand_below(d / 2 + 1);
}

struct headers {
	char lines[7][HEADER_SIZE];
	const char *all[8];
};

static void signed_headers(
	struct headers *h, const struct webhook *w, const struct delivery *d, const char *body, size_t n)
{
	const int64_t now_s = clock_wall_ms() / 1000;
	char plain[ATTEMPT_SIGNATURE_SIZE], timed[ATTEMPT_SIGNATURE_SIZE];

	attempt_sign(plain, w->secret, body, n);
	attempt_sign_at(timed, w->secret, now_s, body);
	(void)str_copy(h->lines[0], HEADER_SIZE, "Content-Type: application/json");
	(void)str_fmt(h->lines[1], HEADER_SIZE, "X-VeloFlux-Signature: %s", plain);
	(void)str_fmt(h->lines[2], HEADER_SIZE, "X-Portway-Signature: %s", timed);
	(void)str_fmt(h->lines[3], HEADER_SIZE, "X-Portway-Timestamp: %" PRId64, now_s);
	(void)str_fmt(h->lines[4], HEADER_SIZE, "X-Portway-Delivery: %s", d->id);
	(void)str_fmt(h->lines[5], HEADER_SIZE, "X-Portway-Event: %s", d->topic);
	(void)str_fmt(h->lines[6], HEADER_SIZE, "X-Portway-Attempt: %" PRId64, d->attempts + 1);
	for (size_t i = 0; i < ARRAY_LEN(h->lines); i++)
		h->all[i] = h->lines[i];
	h->all[ARRAY_LEN(h->lines)] = NULL;
}

static void post(
	struct attempt *out, const struct attempt_conf *c, const struct outbound_request *rq, const struct format *f)
{
	const uint64_t begin = clock_mono_ms();
	struct outbound_answer answer;
	struct err e = { 0 };

	if (outbound_send(c->outbound, rq, &answer, &e) != 0) {
		out->verdict =
			e.code == ERR_CONFLICT && c->stop != NULL && c->stop(c->arg) ? VERDICT_STOPPED : VERDICT_AGAIN;
		(void)str_copy(out->error, sizeof out->error, e.msg);
	} else {
		out->status = answer.status;
		out->verdict = f->judge(answer.status);
		out->pause_ms = f->pause_ms(&answer);
		out->everywhere = out->pause_ms > 0 && f->everywhere != NULL && f->everywhere(&answer);
		if (out->verdict != VERDICT_DELIVERED)
			(void)str_fmt(out->error, sizeof out->error, "answered %d", answer.status);
		outbound_answer_fini(&answer);
	}
	out->latency_ms = (int64_t)(clock_mono_ms() - begin);
}

static void dispatch(struct attempt *out, const struct attempt_conf *c, const struct webhook *w,
	const struct delivery *d, struct buf *body)
{
	const struct format *f = format_find(w->format);
	struct headers h = { 0 };
	const struct outbound_request rq = { .method = "POST",
		.url = w->url,
		.headers = h.all,
		.body = buf_cstr(body),
		.body_n = body->len,
		.timeout_ms = c->timeout_ms,
		.answer_max = ANSWER_MAX,
		.stop = c->stop,
		.arg = c->arg };

	if (f->is_signed)
		signed_headers(&h, w, d, rq.body, rq.body_n);
	else
		h.all[0] = "Content-Type: application/json";
	post(out, c, &rq, f);
}

static void refuse(struct attempt *out, const char *why)
{
	out->verdict = VERDICT_REFUSED;
	(void)str_copy(out->error, sizeof out->error, why);
}

void attempt_make(struct attempt *out, const struct attempt_conf *c, const struct webhook *w, struct delivery *d)
{
	const struct format *f = format_find(w->format);
	struct err e = { 0 };
	struct buf made;

	memset(out, 0, sizeof *out);
	if (f == NULL) {
		refuse(out, "there is no such format");
		return;
	}
	if (f->render == NULL) {
		dispatch(out, c, w, d, &d->body);
		return;
	}
	buf_init(&made, TOPIC_BODY_MAX);
	if (f->render(buf_cstr(&d->body), &made, &e) == 0)
		dispatch(out, c, w, d, &made);
	else
		refuse(out, e.msg);
	buf_free(&made);
}
