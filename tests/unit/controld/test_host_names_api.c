/* Host names of mappings: who may have which, those that are made up, and that they are given back. */
#include "tests/unit/controld/tunnels_room.h"

#define HOSTED(protocol, names) \
	"{\"protocol\":\"" protocol "\",\"host_names\":" names ",\"target_host\":\"svc.example\",\"target_port\":80}"

static void host_names_and_who_may_have_them(void **state)
{
	static const struct {
		const char *who, *body;
		int status;
	} cases[] = {
		{ "op", HOSTED("http", "[\"a.t.example\"]"), 201 },
		{ "op", HOSTED("http", "[\"A.T.example.\"]"), 409 }, /* the same */
		{ "blue", HOSTED("http", "[\"a.t.example\"]"), 409 },
		{ "op", HOSTED("tls", "[\"a.t.example\"]"), 201 }, /* the other port */
		{ "op", HOSTED("http", "[\"t.example\"]"), 403 },
		{ "op", HOSTED("http", "[\"*.t.example\"]"), 403 },
		{ "blue", HOSTED("http", "[\"*.x.t.example\"]"), 403 }, /* an owner is no system administrator */
		{ "admin", HOSTED("http", "[\"*.t.example\"]"), 201 },
		{ "blue", HOSTED("http", "[\"b.t.example\"]"), 201 }, /* beside that wildcard */
		{ "op", HOSTED("http", "[\"shop.example\",\"www.shop.example\"]"), 201 },
		{ "op", HOSTED("http", "[\"*.op.example\"]"), 403 },
		{ "blue", HOSTED("http", "[\"*.shop.example\"]"), 409 }, /* above a name of another tenant */
		{ "blue", HOSTED("http", "[\"*.blue.example\"]"), 201 },
		{ "op", HOSTED("http", "[\"x.y.blue.example\"]"), 409 }, /* below a wildcard of another tenant */
		{ "blue", HOSTED("http", "[\"x.y.blue.example\"]"), 201 },
		{ "op", HOSTED("http", "[\"blue.example\"]"), 201 }, /* which is not below it */
		{ "op", HOSTED("http", "[\"x_y.example\"]"), 422 },
		{ "op", HOSTED("http", "[1]"), 422 },
		{ "op", HOSTED("tcp", "[\"c.t.example\"]"), 422 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *answer;

		print_message("%zu: %s %s\n", i, cases[i].who, cases[i].body);
		answer = call(cases[i].who, "POST", "/api/v1/mappings", cases[i].body, cases[i].status);
		if (cases[i].status == 409) { /* nobody learns whose it is */
			const char *message = json_string_value(json_object_get(answer, "message"));

			assert_int_equal(strstr(message, "map_") != NULL, str_eq(cases[i].who, "op") && i == 1);
		}
		json_decref(answer);
	}
}

static void host_names_are_made_up_changed_and_given_back(void **state)
{
	char id[PROTO_ID_SIZE], made_up[HOST_NAME_SIZE];
	json_t *m;

	(void)state;
	create("op", HOSTED("http", "null"), id);
	m = call("op", "GET", path_of(id), NULL, 200);
	str_copy(made_up, sizeof made_up, json_string_value(json_array_get(json_object_get(m, "host_names"), 0)));
	assert_true(host_name_is_below(made_up, "t.example"));
	assert_true(json_is_null(json_object_get(m, "source_port")));
	assert_true(str_starts(json_string_value(json_object_get(m, "url")), "http://"));
	call_only("op", "PUT", path_of(id), "{\"name\":\"renamed\"}", 200);
	json_decref(m);
	m = call("op", "PUT", path_of(id), "{\"host_names\":[\"d.t.example\",\"d.example\"]}", 200);
	assert_int_equal(json_array_size(json_object_get(m, "host_names")), 2);
	assert_string_equal(json_string_value(json_object_get(m, "url")), "http://d.t.example:8080");
	call_only("op", "PUT", path_of(id), "{\"source_port\":80}", 422);
	call_only("op", "PUT", path_of(id), "{\"group\":\"eu\"}", 200);
	call_only("op", "POST", "/api/v1/mappings", HOSTED("http", "[\"d.example\"]"),
		201);                                                      /* in the group that it left */
	call_only("op", "PUT", path_of(id), "{\"host_names\":null}", 422); /* the other has no domain */
	call_only("op", "PUT", path_of(id), "{\"group\":\"default\"}", 409);
	call_only("op", "DELETE", path_of(id), NULL, 204);
	call_only("op", "POST", "/api/v1/mappings", HOSTED("http", "[\"d.t.example\"]"), 201);
	json_decref(m);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(host_names_and_who_may_have_them),
		SEQUENCE(host_names_are_made_up_changed_and_given_back),
	};

	log_init("test_host_names_api", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
