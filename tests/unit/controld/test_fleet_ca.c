/*
 * One CA of the fleet after the other, over the real line: relays are asked for new certificates, who came with one counts,
 * the CA before is retired when all have, and who was away can come as long as it is trusted.
 */
#include "controld/fleet/ca.h"
#include "controld/fleet/who.h"
#include "controld/store/secrets.h"
#include "tests/unit/lib/fleet_room.h"

#include <fcntl.h>
#include <unistd.h>

#define CA "/api/v1/fleet/ca"

static void fingerprint(char dst[CERT_FINGERPRINT_SIZE])
{
	json_t *o = call("admin", "GET", CA, NULL, 200);

	keep_text(o, "fingerprint", dst, CERT_FINGERPRINT_SIZE);
	json_decref(o);
}

static void wait_ca(const char *member, const char *want)
{
	wait_member(CA, member, want);
}

/* The next update asks for a new certificate; it is asked for. What the relay has from now on. */
static void renew_when_asked(struct test_relay *r, struct answer *a)
{
	struct msg_renew m = { .request_pem = "" };
	nng_msg *reply;
	struct buf b;

	recv_update(r, a);
	assert_int_equal(a->head.n_asks, 1);
	assert_int_equal(a->head.asks[0].kind, ASK_RENEW);
	str_copy(m.request_pem, sizeof m.request_pem, r->request);
	buf_init(&b, PROTO_MSG_MAX);
	msg_renew_encode(&m, &b);
	test_relay_send(r->report, &b);
	reply = test_relay_recv(r->report);
	assert_non_null(reply);
	assert_int_equal(msg_joined_decode(&r->joined, nng_msg_body(reply), nng_msg_len(reply)), 0);
	nng_msg_free(reply);
}

/* Without being asked: 0, or the code it is refused with. What comes is not kept. */
static int renew(struct test_relay *r)
{
	struct msg_renew m = { .request_pem = "" };
	struct msg_joined joined;
	nng_msg *reply;
	struct buf b;
	int code = 0;

	str_copy(m.request_pem, sizeof m.request_pem, r->request);
	buf_init(&b, PROTO_MSG_MAX);
	msg_renew_encode(&m, &b);
	test_relay_send(r->report, &b);
	reply = test_relay_recv(r->report);
	assert_non_null(reply);
	if (msg_joined_decode(&joined, nng_msg_body(reply), nng_msg_len(reply)) != 0) {
		assert_int_equal(msg_refused_decode(&r->refused, nng_msg_body(reply), nng_msg_len(reply)), 0);
		code = r->refused.code;
	}
	nng_msg_free(reply);
	return code;
}

/* Comes with what it has now, and is parked. */
static void come_again(struct test_relay *r, struct answer *a)
{
	test_relay_open(r, room.port);
	send_poll(r, &a->head.to, NULL);
}

static void expect_refusal(const char *path, const char *body, const char *named)
{
	json_t *o = call("admin", "POST", path, body, 409);
	char *text = json_dumps(o, 0);

	assert_non_null(text);
	if (strstr(text, named) == NULL)
		fail_msg("%s does not name %s", text, named);
	free(text);
	json_decref(o);
}

static void one_after_the_other(void **state)
{
	char first[CERT_FINGERPRINT_SIZE], second[CERT_FINGERPRINT_SIZE], token[JOIN_TOKEN_MAX];
	struct test_relay r, late = { .key = NULL };
	struct answer a;
	struct fleet_stats s;

	(void)state;
	fingerprint(first);
	make_token("{\"name\":\"late\"}", token);
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	wait_status("edge-1", "online");
	wait_ca("status", "steady");
	expect_refusal(CA "/retire", "{}", "no CA to retire");
	call_only("op", "POST", CA "/rotate", NULL, 403);
	call_only("op", "GET", CA, NULL, 403);

	call_only("admin", "POST", CA "/rotate", NULL, 200);
	fingerprint(second);
	assert_string_not_equal(first, second);
	wait_ca("status", "rotating");
	wait_ca("relays_behind", "1");
	expect_refusal(CA "/rotate", NULL, "not retired");
	expect_refusal(CA "/retire", "{}", "edge-1");

	renew_when_asked(&r, &a);
	assert_true(cert_contains(r.joined.ca_pem, first) && cert_contains(r.joined.ca_pem, second));
	expect_refusal(CA "/retire", "{}", "edge-1"); /* it has not come with it yet */
	come_again(&r, &a);
	wait_ca("step", "2"); /* retired by itself */

	renew_when_asked(&r, &a);
	assert_true(cert_contains(r.joined.ca_pem, second) && !cert_contains(r.joined.ca_pem, first));
	assert_true(cert_contains(r.joined.cert_pem, first)); /* for agents that know that one */
	wait_ca("status", "settling");
	come_again(&r, &a);
	wait_ca("status", "steady");
	wait_ca("relays_behind", "0");
	assert_int_equal(test_relay_join(&late, room.port, token), 0); /* the token names the CA before */
	wait_ca("relays_behind", "0");
	do
		fleet_stats(room.fleet, &s);
	while (s.ca_step != 2 || s.ca_behind != 0);
	assert_true((int64_t)s.ca_ends_s > clock_wall_ms() / 1000 + 3000ll * 86400);

	call_only("admin", "POST", CA "/rotate", NULL, 200); /* and once more */
	wait_ca("relays_behind", "2");
	renew_when_asked(&r, &a);
	assert_true(cert_contains(r.joined.ca_pem, second) && !cert_contains(r.joined.ca_pem, first));
	test_relay_fini(&late);
	test_relay_fini(&r);
}

/* A relay that was away while a new CA came: by its old certificate it comes in, and learns; retired over its head, it may not. */
static void who_was_away(void **state)
{
	struct test_relay r, gone;
	char token[JOIN_TOKEN_MAX];
	struct fleet_stats s;
	struct answer a;
	int rv;

	(void)state;
	join_and_open(&r, "edge-1");
	join_and_open(&gone, "edge-2");
	nng_close(gone.poll);
	nng_close(gone.report);
	nng_close(r.poll);
	nng_close(r.report);
	call_only("admin", "POST", CA "/rotate", NULL, 200);
	wait_ca("relays_behind", "2");

	test_relay_open(&r, room.port); /* trusts the old one alone, and shows a certificate of it */
	start_up(&r, &a);
	renew_when_asked(&r, &a);
	come_again(&r, &a);
	wait_ca("relays_behind", "1");
	expect_refusal(CA "/retire", "{\"force\":false}", "edge-2");
	test_relay_open(&gone, room.port);
	call_only("admin", "POST", CA "/retire", "{\"force\":true}", 200);
	assert_null(test_relay_recv(gone.poll)); /* its connection is closed */
	do
		fleet_stats(room.fleet, &s);
	while (s.ca_step != 2);
	do { /* why it is refused may be lost with the connection */
		rv = test_relay_dial_own(&gone, room.port, &gone.poll, true);
		assert_int_not_equal(rv, 0);
	} while (rv != NNG_TLS_UNTRUSTED);

	make_token("{\"name\":\"edge-2\"}", token);
	assert_int_equal(test_relay_join(&gone, room.port, token), 0);
	test_relay_open(&gone, room.port);
	test_relay_fini(&gone);
	test_relay_fini(&r);
}

/* A controld that starts while it is being done goes on with it. */
static void a_restart_between(void **state)
{
	const struct fleet_conf conf = conf_for_tests();
	struct fleet *again;
	struct test_relay r;
	struct answer a;
	struct err e;

	(void)state;
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	fleet_stop(room.fleet);
	call_only("admin", "POST", CA "/rotate", NULL, 200);
	TEST_STORE_MUST(
		fleet_new(&again, &conf, room.server.store.store, server_parks(room.server.server), room.statuses, &e),
		e);
	TEST_STORE_MUST(fleet_start(again, &e), e);
	room.port = fleet_port(again);
	come_again(&r, &a);
	renew_when_asked(&r, &a);
	come_again(&r, &a);
	wait_ca("step", "2");
	renew_when_asked(&r, &a);
	come_again(&r, &a);
	wait_ca("status", "steady");
	fleet_stop(again);
	fleet_free(again);
	test_relay_fini(&r);
}

/* Who has the key of the CA before makes certificates with it, as long as that CA is trusted; none outlives it. */
static void who_has_the_key(void **state)
{
	struct test_relay r, forged = { .key = NULL };
	struct key *ca_key = NULL;
	struct fleet_stats stats;
	int rv;
	struct ca_state s;
	struct buf seed;
	struct answer a;
	struct err e;
	struct db *db;
	char *cert;

	(void)state;
	join_and_open(&r, "edge-1");
	start_up(&r, &a);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	buf_init(&seed, 64);
	TEST_STORE_MUST(ca_state(db, &s, &e), e);
	TEST_STORE_MUST(secrets_get(db, "fleet-ca-key", &seed, &e), e);
	store_read_end(db);
	TEST_STORE_MUST(key_from_seed(&ca_key, seed.data, &e), e);
	TEST_STORE_MUST(key_generate(&forged.key, &e), e);
	forged.request = cert_request(forged.key, "x", &e);
	cert = cert_issue_request(
		s.now.pem, ca_key, forged.request, r.joined.node_id, CERT_CLIENT, clock_wall_ms(), 90, &e);
	assert_non_null(cert);
	forged.joined = r.joined;
	str_copy(forged.joined.cert_pem, sizeof forged.joined.cert_pem, cert);
	test_relay_open(&forged, room.port);
	assert_int_equal(renew(&forged), ERR_PERMISSION);
	call_only("admin", "POST", CA "/rotate", NULL, 200);
	assert_int_equal(renew(&forged), ERR_PERMISSION);
	renew_when_asked(&r, &a);
	come_again(&r, &a);
	wait_ca("step", "2");
	renew_when_asked(&r, &a);
	come_again(&r, &a);
	wait_ca("status", "steady");
	do /* those by certificates of the CA of now stay; the forged one and the relay's first are closed */
		fleet_stats(room.fleet, &stats);
	while (stats.connections != 4);
	do /* why it is refused may be lost with the connection */
		rv = test_relay_dial_own(&forged, room.port, &forged.poll, true);
	while (rv != NNG_TLS_UNTRUSTED && rv != 0);
	assert_int_equal(rv, NNG_TLS_UNTRUSTED);
	free(cert);
	buf_free(&seed);
	key_free(ca_key);
	test_relay_fini(&forged);
	test_relay_fini(&r);
}

/* ---- the rows ----------------------------------------------------------------------------------------------------- */

static int work_undone(struct db *tx, void *arg, struct err *e)
{
	const struct who who = { "system", "", clock_wall_ms() };
	struct ca_state s;

	(void)arg;
	if (ca_rotate(tx, &who, &s, e) != 0)
		return -1;
	return err_set(e, ERR_IO, NULL, "and then it ends");
}

static int work_controlds(struct db *tx, void *arg, struct err *e)
{
	static const char insert[] =
		"INSERT INTO controlds(id, tenant_id, name, version, address, line_address, schema_number, started_ms, "
		"seen_ms, beat, seq) VALUES (?1, '', ?2, '1', '', '', ?3, 0, ?4, 1, ?5)";
	const int64_t now_ms = clock_wall_ms();
	int64_t seq = *(int64_t *)arg;

	return db_exec(tx, insert, e, bind_s("ctl_1"), bind_s("up-to-date"), bind_i(CA_MIGRATION), bind_i(now_ms),
		       bind_i(seq)) < 0 ||
	                       db_exec(tx, insert, e, bind_s("ctl_2"), bind_s("behind"), bind_i(CA_MIGRATION),
				       bind_i(now_ms), bind_i(seq - 1)) < 0 ||
	                       db_exec(tx, insert, e, bind_s("ctl_3"), bind_s("older"), bind_i(CA_MIGRATION - 1),
				       bind_i(now_ms), bind_i(seq)) < 0 ||
	                       db_exec(tx, insert, e, bind_s("ctl_4"), bind_s("lost"), bind_i(1), bind_i(1),
				       bind_i(0)) < 0
	               ? -1
	               : 0;
}

static void half_of_it_is_none_of_it(void **state)
{
	char before[CERT_FINGERPRINT_SIZE], after[CERT_FINGERPRINT_SIZE];
	struct err e;

	(void)state;
	fingerprint(before);
	assert_int_equal(store_write(room.server.store.store, STORE_LOGGED, work_undone, NULL, &e), -1);
	fingerprint(after);
	assert_string_equal(before, after);
	wait_ca("status", "steady");
	call_only("admin", "POST", CA "/rotate", NULL, 200); /* by the key that is still there */
}

static void controlds_hold_it_up(void **state)
{
	struct ca_state s;
	struct err e;
	struct db *db;

	(void)state;
	fleet_stop(room.fleet); /* or it is retired by itself before */
	call_only("admin", "POST", CA "/rotate", NULL, 200);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(ca_state(db, &s, &e), e);
	store_read_end(db);
	TEST_STORE_MUST(store_write(room.server.store.store, STORE_OPERATIONAL, work_controlds, &s.now.seq, &e), e);
	expect_refusal(CA "/retire", "{}", "2 (behind, older)");
	call_only("admin", "POST", CA "/retire", "{\"force\":true}", 200);
	wait_ca("status", "steady");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_after_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(who_was_away, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restart_between, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_the_key, setup, teardown),
		cmocka_unit_test_setup_teardown(half_of_it_is_none_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(controlds_hold_it_up, setup, teardown),
	};

	int rc;

	log_init("test_fleet_ca", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)fflush(NULL);
	_exit(rc == 0 ? 0
		      : 1); /* a listener that turned a handshake down may be left behind by nng, and would be a leak */
}
