/* Certificates over the API: what is taken, what is refused and how, who may see what, where relays get them; ticket keys and their turns. */
#include "tests/unit/common/site_pki.h"
#include "tests/unit/controld/tunnels_room.h"

#include "controld/certs/ticket_keys.h"

static struct {
	struct site_cert ca, site, other, ended, bare;
} pki;

static json_t *field(json_t *o, const char *name)
{
	return json_object_get(o, name);
}

/* A body with PEM in it; freed by the caller. */
static char *body_of(const char *name, const struct site_cert *chain, const struct site_cert *key)
{
	json_t *o = json_object();
	char *text;

	if (name != NULL)
		json_object_set_new(o, "name", json_string(name));
	if (chain != NULL)
		json_object_set_new(o, "chain", json_string(chain->chain));
	if (key != NULL)
		json_object_set_new(o, "key", json_string(key->key));
	text = json_dumps(o, 0);
	json_decref(o);
	return text;
}

static json_t *send_cert(const char *who, const char *method, const char *path, const char *name,
	const struct site_cert *chain, const struct site_cert *key, int want)
{
	char *body = body_of(name, chain, key);
	json_t *answer = call(who, method, path, body, want);

	free(body);
	return answer;
}

static void add(char id[PROTO_ID_SIZE], const struct site_cert *c)
{
	json_t *o = send_cert("op", "POST", "/api/v1/certificates", "web", c, c, 201);

	str_copy(id, PROTO_ID_SIZE, text_in(o, "id"));
	json_decref(o);
}

static const char *cert_path(const char *id)
{
	static char path[96];

	str_fmt(path, sizeof path, "/api/v1/certificates/%s", id);
	return path;
}

/* ---- over the API -------------------------------------------------------------------------------------------------- */

static void its_life(void **state)
{
	char id[PROTO_ID_SIZE];
	json_t *o, *text;
	char *dump;

	(void)state;
	add(id, &pki.site);
	assert_true(str_starts(id, "crt_"));
	o = call("viewer", "GET", cert_path(id), NULL, 200);
	assert_string_equal(text_in(o, "name"), "web");
	assert_string_equal(text_in(o, "issuer"), "Site CA");
	assert_string_equal(text_in(o, "key_type"), "ECDSA P-256");
	assert_string_equal(text_in(o, "status"), "valid");
	assert_string_equal(text_in(o, "chain"), pki.site.chain);
	assert_int_equal(json_array_size(field(o, "names")), 2);
	assert_string_equal(json_string_value(json_array_get(field(o, "names"), 1)), "*.b.example");
	dump = json_dumps(o, 0);
	assert_null(strstr(dump, "PRIVATE KEY"));
	free(dump);
	json_decref(o);

	o = call("op", "GET", "/api/v1/certificates?host=a.example", NULL, 200);
	assert_int_equal(json_array_size(field(o, "items")), 1);
	text = field(o, "next_cursor");
	assert_true(json_is_null(text));
	json_decref(o);
	o = call("op", "GET", "/api/v1/certificates?host=none.example", NULL, 200);
	assert_int_equal(json_array_size(field(o, "items")), 0);
	json_decref(o);

	o = send_cert("op", "PUT", cert_path(id), NULL, &pki.other, &pki.other, 200);
	assert_string_equal(text_in(o, "name"), "web");
	assert_int_equal(json_array_size(field(o, "names")), 1);
	assert_int_equal(number_in(o, "version"), 2);
	json_decref(o);
	call_only("op", "PUT", cert_path(id), "{\"name\":\"new\"}", 200);
	call_only("op", "DELETE", cert_path(id), NULL, 204);
	call_only("op", "GET", cert_path(id), NULL, 404);
}

static void what_is_refused(void **state)
{
	const struct {
		const char *what, *field;
		const struct site_cert *chain, *key;
	} cases[] = {
		{ "another one's key", "\"key\"", &pki.site, &pki.other },
		{ "ended", "\"chain\"", &pki.ended, &pki.ended },
		{ "names no host", "\"chain\"", &pki.bare, &pki.bare },
	};
	json_t *o;
	char *dump;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		o = send_cert("op", "POST", "/api/v1/certificates", NULL, cases[i].chain, cases[i].key, 422);
		dump = json_dumps(o, 0);
		if (strstr(dump, cases[i].field) == NULL)
			fail_msg("%s: %s", cases[i].what, dump);
		free(dump);
		json_decref(o);
	}
	o = send_cert("op", "POST", "/api/v1/certificates", NULL, &pki.site, NULL, 400);
	json_decref(o);
	call_only("op", "POST", "/api/v1/certificates", "{\"chain\":\"hello\",\"key\":\"hello\"}", 422);
}

/* Who is no certificate authority here, and what is of one source is not of the other. */
static void sources_are_kept_apart(void **state)
{
	static const struct {
		const char *body, *word;
	} cases[] = {
		{ "{\"source\":\"acme\",\"names\":[\"a.example\"]}", "acme.url" },
		{ "{\"source\":\"own\",\"names\":[\"a.example\"]}", "\"names\"" },
		{ "{\"challenge\":\"http-01\"}", "\"challenge\"" },
		{ "{\"source\":\"elsewhere\"}", "\"source\"" },
	};
	char id[PROTO_ID_SIZE], path[128];
	json_t *o;
	char *dump;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		o = call("op", "POST", "/api/v1/certificates", cases[i].body, 422);
		dump = json_dumps(o, 0);
		if (strstr(dump, cases[i].word) == NULL)
			fail_msg("%s: %s", cases[i].body, dump);
		free(dump);
		json_decref(o);
	}
	call_only("op", "POST", "/api/v1/certificates", "{}", 400);
	add(id, &pki.site);
	o = call("op", "GET", cert_path(id), NULL, 200);
	assert_string_equal(text_in(o, "source"), "own");
	assert_true(json_is_null(field(o, "renew_at")));
	assert_true(json_is_false(field(o, "must_staple")));
	json_decref(o);
	call_only("op", "PUT", cert_path(id), "{\"source\":\"acme\"}", 422);
	str_fmt(path, sizeof path, "%s/renew", cert_path(id));
	call_only("op", "POST", path, NULL, 409);
	call_only("viewer", "POST", path, NULL, 403);
	call_only("blue", "POST", path, NULL, 404);
	call_only("op", "DELETE", cert_path(id), NULL, 204);
}

static void all_that_is_wrong_is_named_at_once(void **state)
{
	static const struct {
		const char *method, *body, *fields;
		int status;
	} cases[] = {
		{ "POST", "{}", "chain key", 400 },
		{ "POST", "{\"name\":7,\"names\":[\"a.example\"],\"chain\":\"hello\",\"ocsp\":\"/\"}",
			"name names key ocsp", 422 },
		{ "POST", "{\"chain\":\"hello\",\"key\":\"hello\",\"ocsp\":\"/\",\"size\":1}", "size chain ocsp", 422 },
		{ "POST", "{\"source\":\"acme\",\"challenge\":\"dns-01\",\"key\":\"hello\"}",
			"challenge source key names", 422 },
		{ "POST", "{\"source\":\"acme\",\"names\":[\"*.a.example\",\"b\"]}", "source names names", 422 },
		{ "POST", "{\"source\":\"acme\",\"names\":[]}", "source names", 422 },
		{ "PUT", "{\"name\":7,\"source\":\"own\",\"key\":\"hello\",\"ocsp\":\"/\"}", "name source chain ocsp",
			422 },
	};
	char id[PROTO_ID_SIZE];

	(void)state;
	add(id, &pki.site);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool put = str_eq(cases[i].method, "PUT");
		json_t *o = call("op", cases[i].method, put ? cert_path(id) : "/api/v1/certificates", cases[i].body,
			cases[i].status);
		json_t *details = field(o, "details"), *one;
		char named[256] = "";
		size_t j;

		json_array_foreach(details, j, one) str_fmt(named + strlen(named), sizeof named - strlen(named), "%s%s",
			j > 0 ? " " : "", text_in(one, "field"));
		assert_string_equal(named, cases[i].fields);
		json_decref(o);
	}
	call_only("op", "DELETE", cert_path(id), NULL, 204);
}

static void others_do_not_see_it(void **state)
{
	char id[PROTO_ID_SIZE];
	json_t *o;

	(void)state;
	add(id, &pki.site);
	call_only("blue", "GET", cert_path(id), NULL, 404);
	call_only("blue", "DELETE", cert_path(id), NULL, 404);
	call_only("blue", "PUT", cert_path(id), "{\"name\":\"x\"}", 404);
	o = call("blue", "GET", "/api/v1/certificates", NULL, 200);
	assert_int_equal(json_array_size(field(o, "items")), 0);
	json_decref(o);
	call_only("viewer", "DELETE", cert_path(id), NULL, 403);
	call_only("op", "DELETE", cert_path(id), NULL, 204);
}

static void only_so_many(void **state)
{
	char ids[5][PROTO_ID_SIZE];
	json_t *o;

	(void)state;
	for (int i = 0; i < 5; i++)
		add(ids[i], &pki.site);
	o = send_cert("op", "POST", "/api/v1/certificates", NULL, &pki.site, &pki.site, 409);
	json_decref(o);
	for (int i = 0; i < 5; i++)
		call_only("op", "DELETE", cert_path(ids[i]), NULL, 204);
}

/* ---- what relays get ------------------------------------------------------------------------------------------------ */

static int on_placed(const struct certificate_placed *c, void *arg)
{
	unsigned *n = arg;

	assert_true(c->present);
	assert_string_equal(c->conf.key, pki.site.key);
	assert_string_equal(c->conf.chain, pki.site.chain);
	assert_int_equal(c->conf.n_names, 2);
	assert_string_equal(c->conf.names[0], "a.example");
	assert_true(c->seq > 0);
	++*n;
	return 0;
}

static int on_gone(const struct certificate_placed *c, void *arg)
{
	(void)arg;
	assert_false(c->present);
	return 0;
}

static int on_id(const char *id, void *arg)
{
	(void)id;
	++*(unsigned *)arg;
	return 0;
}

static unsigned groups_of(const char *id)
{
	unsigned n = 0;
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(certificate_groups(db, id, on_id, &n, &e), e);
	store_read_end(db);
	return n;
}

static void add_route(const char *host, const char *more, int want)
{
	char body[256];

	str_fmt(body, sizeof body, "{\"host\":\"%s\",\"path_prefix\":\"/\",\"pool\":\"certified\"%s}", host, more);
	call_only("op", "POST", "/api/routes", body, want);
}

static void relays_get_it_where_a_route_needs_it(void **state)
{
	char id[PROTO_ID_SIZE];
	unsigned n = 0;
	struct db *db;
	struct err e;

	(void)state;
	call_only("op", "POST", "/api/pools", "{\"name\":\"certified\",\"algorithm\":\"round_robin\"}", 201);
	add(id, &pki.site);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(certificate_placed_get(db, id, on_placed, &n, &e), e);
	TEST_STORE_MUST(certificate_placed_all(db, on_placed, &n, &e), e);
	TEST_STORE_MUST(certificate_placed_get(db, "crt_none", on_gone, NULL, &e), e);
	store_read_end(db);
	assert_int_equal(n, 2);
	assert_int_equal(groups_of(id), 0);
	add_route("c.example", ",\"ssl_enabled\":true", 201);  /* another name */
	add_route("a.example", ",\"ssl_enabled\":false", 201); /* not over TLS */
	assert_int_equal(groups_of(id), 0);
	add_route("x.b.example", ",\"ssl_enabled\":true", 201); /* below the wildcard */
	assert_int_equal(groups_of(id), 1);
	call_only("op", "DELETE", cert_path(id), NULL, 204);
	assert_int_equal(groups_of(id), 0);
}

/* ---- ticket keys ----------------------------------------------------------------------------------------------------- */

static struct ticket_conf keys_at(int64_t now_ms)
{
	struct ticket_conf c;
	int64_t seq;
	struct db *db;
	struct err e;

	assert_int_equal(certs_rotate_tickets(room.certs, now_ms, NULL), 0);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(ticket_keys_placed(db, &c, &seq, &e), e);
	store_read_end(db);
	return c;
}

/* Whenever one looks: a key seals now, the next one is known a step ahead, and what sealed within a step opens still. */
static void check_keys(const struct ticket_conf *c, int64_t now_ms)
{
	unsigned sealing = 0, coming = 0, ended = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		const struct ticket_key *k = &c->keys[i];

		sealing += k->from_ms <= now_ms && k->from_ms + TICKET_KEY_STEP_MS > now_ms;
		coming += k->from_ms > now_ms;
		ended += k->until_ms <= now_ms;
	}
	assert_int_equal(sealing, 1);
	assert_true(coming >= 1);
	assert_int_equal(ended, 0);
	assert_true(c->n <= 5);
}

static bool has_key(const struct ticket_conf *c, const uint8_t name[TICKET_NAME_SIZE])
{
	for (uint32_t i = 0; i < c->n; i++)
		if (memcmp(c->keys[i].name, name, TICKET_NAME_SIZE) == 0)
			return true;
	return false;
}

static void keys_take_turns(void **state)
{
	const int64_t start = INT64_C(1900000000000), hour = 3600000;
	struct ticket_conf before = keys_at(start), now;

	(void)state;
	check_keys(&before, start);
	now = keys_at(start + hour);
	assert_memory_equal(&now, &before, sizeof now); /* nothing is due yet */
	for (int64_t t = start; t < start + 100 * hour; t += hour / 2) {
		now = keys_at(t);
		check_keys(&now, t);
		for (uint32_t i = 0; i < now.n; i++) /* none begins before everybody can have heard of it */
			assert_true(has_key(&before, now.keys[i].name) ||
				    now.keys[i].from_ms >= t + TICKET_KEY_STEP_MS / 2);
		before = now;
	}
	now = keys_at(start + 10000 * hour); /* nobody was there for a long time */
	check_keys(&now, start + 10000 * hour);
}

static int build(void **state)
{
	site_make(&pki.ca, SITE_ECDSA, "Site CA", NULL, NULL, 10);
	site_make(&pki.site, SITE_ECDSA, "site", "DNS:a.example,DNS:*.b.example", &pki.ca, 5);
	site_make(&pki.other, SITE_ECDSA, "other", "DNS:other.example", &pki.ca, 5);
	site_make(&pki.ended, SITE_ECDSA, "ended", "DNS:a.example", &pki.ca, -1);
	site_make(&pki.bare, SITE_ECDSA, "bare", NULL, &pki.ca, 5);
	return setup(state);
}

static int tear_down(void **state)
{
	site_free(&pki.ca);
	site_free(&pki.site);
	site_free(&pki.other);
	site_free(&pki.ended);
	site_free(&pki.bare);
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_life),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(sources_are_kept_apart),
		cmocka_unit_test(all_that_is_wrong_is_named_at_once),
		cmocka_unit_test(others_do_not_see_it),
		cmocka_unit_test(only_so_many),
		cmocka_unit_test(relays_get_it_where_a_route_needs_it),
		cmocka_unit_test(keys_take_turns),
	};

	log_init("test_certs_api", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, build, tear_down);
}
