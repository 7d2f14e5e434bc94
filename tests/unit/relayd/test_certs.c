/* Certificates, answers to challenges and ticket keys as a relay gets them: what workers see, what is refused, how it changes. */
#define _GNU_SOURCE
#include "relayd/tls/certs.h"

#include "common/base/err.h"
#include "common/crypto/tls_server.h"
#include "proto/acme_conf.h"
#include "proto/cert_conf.h"
#include "proto/ticket_conf.h"
#include "tests/unit/common/site_pki.h"
#include "tests/unit/relayd/lab.h"

static struct lab lab;
static struct certs *certs;
static struct site_cert ca, one, two;

static int make(struct service *out, const struct service_env *env, struct err *e)
{
	return certs_new(&certs, out, env, e);
}

/* A delta of one object; body NULL: it is gone. */
static void put(uint8_t kind, const char *id, struct buf *body)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = lab.snapshot->revision }, m;
	struct snapshot *next;
	struct buf b;
	size_t at;

	head.to = head.from;
	head.to.seq = ++lab.seq;
	buf_init(&b, PROTO_MSG_MAX);
	msg_update_begin(&b, &head, &at);
	if (body != NULL)
		msg_update_put(&b, kind, id, lab.seq, body->data, body->len);
	else
		msg_update_gone(&b, kind, id, lab.seq);
	msg_update_end(&b, at, 1);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	assert_int_equal(snapshot_apply(&next, lab.snapshot, &m, NULL), 0);
	lab.service.ops->apply(lab.service.self, lab.snapshot, next);
	snapshot_unref(lab.snapshot);
	lab.snapshot = next;
	buf_free(&b);
	if (body != NULL)
		buf_free(body);
}

static void put_cert(const char *id, const char *tenant, const struct site_cert *chain, const struct site_cert *key)
{
	char names[2][HOST_NAME_SIZE] = { "a.example", "*.b.example" };
	struct cert_conf c = { .n_names = 2, .names = names, .chain = chain->chain, .key = key->key };
	struct buf b;

	str_copy(c.tenant, sizeof c.tenant, tenant);
	buf_init(&b, PROTO_MSG_MAX);
	cert_conf_encode(&c, &b);
	put(OBJECT_CERT, id, &b);
}

static void put_answer(const char *id, const struct acme_conf *c)
{
	struct buf b;

	buf_init(&b, PROTO_MSG_MAX);
	acme_conf_encode(c, &b);
	put(OBJECT_ACME, id, &b);
}

static const struct worker *worker(void)
{
	return workers_at(lab.workers, 1);
}

/* When the certificate that is shown for a name ends; 0: there is none. */
static int64_t shown(const char *tenant, const char *name)
{
	const struct tls_choice *c = tls_store_find(certs_store(certs, worker()), tenant, name);

	return c != NULL && c->of[TLS_CERT_ECDSA] != NULL ? tls_cert_not_after_ms(c->of[TLS_CERT_ECDSA]) : 0;
}

static void certificates_come_change_and_go(void **state)
{
	int64_t first;

	(void)state;
	lab_start(&lab, make);
	assert_int_equal(shown("ten_a", "a.example"), 0);
	put_cert("crt_1", "ten_a", &one, &one);
	first = shown("ten_a", "a.example");
	assert_true(first > 0);
	assert_int_equal(shown("ten_a", "x.b.example"), first);
	assert_int_equal(shown("ten_b", "a.example"), 0);
	put_cert("crt_1", "ten_a", &two, &two);
	assert_true(shown("ten_a", "a.example") > first);
	put(OBJECT_CERT, "crt_1", NULL);
	assert_int_equal(shown("ten_a", "a.example"), 0);
	lab_stop(&lab);
}

static void one_that_cannot_be_shown_is_refused_alone(void **state)
{
	enum err_code code;

	(void)state;
	lab_start(&lab, make);
	put_cert("crt_1", "ten_a", &one, &two);
	assert_non_null(lab_refusal(&lab, "crt_1", &code));
	put_cert("crt_2", "ten_b", &two, &two);
	assert_true(shown("ten_b", "a.example") > 0);
	assert_null(lab_refusal(&lab, "crt_2", &code));
	put_cert("crt_1", "ten_a", &one, &one);
	assert_null(lab_refusal(&lab, "crt_1", &code));
	assert_true(shown("ten_a", "a.example") > 0);
	put_cert("crt_1", "ten_a", &one, &two);
	assert_non_null(lab_refusal(&lab, "crt_1", &code));
	put(OBJECT_CERT, "crt_1", NULL);
	assert_null(lab_refusal(&lab, "crt_1", &code));
	lab_stop(&lab);
}

static const char *answer(const char *host, const char *token, int64_t now_ms)
{
	return certs_answer(certs, worker(), host, token, strlen(token), now_ms);
}

static void challenges_are_answered_in_their_time(void **state)
{
	const struct acme_conf http = {
		.type = ACME_HTTP, .host = "a.example", .token = "tok", .authorization = "tok.x", .until_ms = 1000
	};
	const struct acme_conf tls = {
		.type = ACME_TLS, .host = "a.example", .chain = one.chain, .key = one.key, .until_ms = 1000
	};

	(void)state;
	lab_start(&lab, make);
	put_answer("acm_1", &http);
	put_answer("acm_2", &tls);
	assert_string_equal(answer("a.example", "tok", 999), "tok.x");
	assert_null(answer("a.example", "tok", 1000));
	assert_null(answer("b.example", "tok", 1));
	assert_null(answer("a.example", "to", 1));
	assert_null(answer("a.example", "", 1));
	assert_non_null(tls_store_find(certs_challenges(certs, worker()), TLS_REALM_ACME, "a.example"));
	assert_int_equal(shown("ten_a", "a.example"), 0); /* it is not shown to visitors */
	put(OBJECT_ACME, "acm_1", NULL);
	put(OBJECT_ACME, "acm_2", NULL);
	assert_null(answer("a.example", "tok", 1));
	assert_null(tls_store_find(certs_challenges(certs, worker()), TLS_REALM_ACME, "a.example"));
	lab_stop(&lab);
}

static void ticket_keys_stay_with_certificates(void **state)
{
	struct ticket_conf c = { 1, { { { 1 }, { 2 }, { 3 }, 100, 200 } } };
	struct buf b;

	(void)state;
	lab_start(&lab, make);
	assert_null(tls_store_sealing(certs_store(certs, worker()), 150));
	buf_init(&b, PROTO_MSG_MAX);
	ticket_conf_encode(&c, &b);
	put(OBJECT_TICKETS, TICKETS_ID, &b);
	put_cert("crt_1", "ten_a", &one, &one);
	assert_non_null(tls_store_sealing(certs_store(certs, worker()), 150));
	assert_null(tls_store_sealing(certs_store(certs, worker()), 200));
	assert_null(tls_store_sealing(certs_store(certs, worker()), 99));
	lab_stop(&lab);
}

static int build(void **state)
{
	(void)state;
	site_make(&ca, SITE_ECDSA, "CA", NULL, NULL, 10);
	site_make(&one, SITE_ECDSA, "one", "DNS:a.example", &ca, 5);
	site_make(&two, SITE_ECDSA, "two", "DNS:a.example", &ca, 6);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	site_free(&ca);
	site_free(&one);
	site_free(&two);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_come_change_and_go),
		cmocka_unit_test(one_that_cannot_be_shown_is_refused_alone),
		cmocka_unit_test(challenges_are_answered_in_their_time),
		cmocka_unit_test(ticket_keys_stay_with_certificates),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
