/* mapping_input: what a body makes of a mapping, every error with its field, and an object that survives a round trip. */
#include "controld/tunnels/mapping_input.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/tunnels/mapping_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1800000000000)
#define TCP "\"protocol\":\"tcp\",\"target_host\":\"example.com\",\"target_port\":80"
#define UDP "\"protocol\":\"udp\",\"target_host\":\"::1\",\"target_port\":53"

static json_t *parse(const char *text)
{
	json_t *body = json_loads(text, 0, NULL);

	if (body == NULL)
		fail_msg("test body is not JSON: %s", text);
	return body;
}

/* As the server does: the schema first, the rules if it found nothing. */
static void take(struct mapping *m, const char *text, struct err_list *errs)
{
	json_t *body = parse(text);

	errs->n = errs->dropped = 0;
	schema_check(&mapping_schema, body, m->id[0] != '\0', errs);
	if (errs->n == 0)
		mapping_apply(m, body, NOW, errs);
	json_decref(body);
}

static void refused(void **state)
{
	static const struct {
		const char *what, *body, *field, *message; /* message: a part of it */
	} cases[] = {
		{ "no target", "{\"protocol\":\"tcp\",\"target_port\":80}", "target_host", "needed" },
		{ "no protocol", "{\"target_host\":\"h\",\"target_port\":80}", "protocol", "required" },
		{ "unknown protocol", "{\"protocol\":\"sctp\",\"target_host\":\"h\",\"target_port\":80}", "protocol",
			"udp" },
		{ "port out of range", "{" TCP ",\"source_port\":65536}", "source_port", "65535" },
		{ "target port 0", "{\"protocol\":\"tcp\",\"target_host\":\"h\",\"target_port\":0}", "target_port",
			"65535" },
		{ "bad host", "{\"protocol\":\"tcp\",\"target_host\":\"a b\",\"target_port\":1}", "target_host",
			"host" },
		{ "end without begin", "{" TCP ",\"source_port_end\":90}", "source_port_end", "source_port" },
		{ "end before begin", "{" TCP ",\"source_port\":90,\"source_port_end\":80}", "source_port_end", "90" },
		{ "range too long", "{" TCP ",\"source_port\":1000,\"source_port_end\":2000}", "source_port_end",
			"1999" },
		{ "target counts over the end",
			"{\"protocol\":\"tcp\",\"target_host\":\"h\",\"target_port\":65535,\"source_port\":1,\"source_"
			"port_end\":2}",
			"target_port", "65534" },
		{ "a range to be picked by its end", "{" TCP ",\"source_port\":0,\"source_port_end\":90}",
			"source_port_end", "source_port_count" },
		{ "two ends", "{" TCP ",\"source_port\":90,\"source_port_end\":99,\"source_port_count\":9}",
			"source_port_count", "one of them" },
		{ "too many ports", "{" TCP ",\"source_port\":90,\"source_port_count\":1001}", "source_port_count",
			"1000" },
		{ "ports beyond the last", "{" TCP ",\"source_port\":65530,\"source_port_count\":7}",
			"source_port_count", "only 6" },
		{ "bind is a name", "{" TCP ",\"bind_address\":\"localhost\"}", "bind_address", "IPv4" },
		{ "from a client to a relay", "{" TCP ",\"source_client_id\":7}", "source_client_id",
			"needs a target_client_id" },
		{ "no client has that id", "{" TCP ",\"target_client_id\":9007199254740992}", "target_client_id",
			"from 1" },
		{ "transport to nobody", "{" TCP ",\"transport\":\"mux\"}", "transport", "target_client_id" },
		{ "health of nobody's target", "{" TCP ",\"health\":{\"type\":\"tcp\"}}", "health.type",
			"target_client_id" },
		{ "health of udp", "{" UDP ",\"target_client_id\":7,\"health\":{\"type\":\"http\"}}", "health.type",
			"is for tcp" },
		{ "health too often", "{" TCP ",\"health\":{\"interval\":\"500ms\"}}", "health.interval", "1000ms" },
		{ "path that is none", "{" TCP ",\"health\":{\"path\":\"up\"}}", "health.path", "begin with '/'" },
		{ "path of two requests", "{" TCP ",\"health\":{\"path\":\"/ HTTP/1.1\"}}", "health.path", "blanks" },
		{ "status that is none", "{" TCP ",\"health\":{\"expect\":42}}", "health.expect", "100 to 599" },
		{ "falls never", "{" TCP ",\"health\":{\"fall\":0}}", "health.fall", "from 1" },
		{ "compression to nobody", "{" TCP ",\"compression\":\"zstd\"}", "compression", "target_client_id" },
		{ "reported status is not a wish", "{" TCP ",\"status\":\"pending\"}", "status", "inactive" },
		{ "expired already", "{" TCP ",\"expires_at\":\"2001-01-01T00:00:00Z\"}", "expires_at", "past" },
		{ "not a time", "{" TCP ",\"expires_at\":\"soon\"}", "expires_at", "time" },
		{ "negative limit", "{" TCP ",\"limits\":{\"max_connections\":-1}}", "limits.max_connections",
			"from 0" },
		{ "unknown limit", "{" TCP ",\"limits\":{\"speed\":1}}", "limits.speed", "not a field" },
		{ "not a range", "{" TCP ",\"allow\":[\"10.0.0.0/33\"]}", "allow[0]", "CIDR" },
		{ "host bits", "{" TCP ",\"deny\":[\"10.0.0.1/8\"]}", "deny[0]", "host bits" },
		{ "not a duration", "{" TCP ",\"timeouts\":{\"idle\":\"soon\"}}", "timeouts.idle", "duration" },
		{ "too short", "{" TCP ",\"timeouts\":{\"idle\":\"10ms\"}}", "timeouts.idle", "1000ms" },
		{ "too long", "{" TCP ",\"drain\":\"30d\"}", "drain", "86400s" },
		{ "v1 for udp", "{" UDP ",\"proxy_protocol\":\"v1\"}", "proxy_protocol", "v2" },
		{ "every datagram of tcp", "{" TCP ",\"proxy_protocol\":\"v2\",\"proxy_every_datagram\":true}",
			"proxy_every_datagram", "udp" },
		{ "header accepted from nobody", "{" TCP ",\"accept_proxy_protocol\":{\"enabled\":true}}",
			"accept_proxy_protocol.trusted", "trusted" },
		{ "header accepted on udp",
			"{" UDP ",\"accept_proxy_protocol\":{\"enabled\":true,\"trusted\":[\"::1\"]}}",
			"accept_proxy_protocol.enabled", "tcp" },
		{ "amplification of tcp", "{" TCP ",\"udp_amplification_limit\":3}", "udp_amplification_limit", "udp" },
		{ "udp without bound", "{" UDP ",\"limits\":{\"max_connections\":0}}", "limits.max_connections",
			"bounded" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err_list errs;
		struct mapping m;

		print_message("%s\n", cases[i].what);
		mapping_init(&m);
		take(&m, cases[i].body, &errs);
		assert_int_equal(errs.n, 1);
		assert_string_equal(errs.items[0].field, cases[i].field);
		if (strstr(errs.items[0].msg, cases[i].message) == NULL)
			fail_msg("'%s' does not say '%s'", errs.items[0].msg, cases[i].message);
		mapping_fini(&m);
	}
}

static void all_errors_at_once(void **state)
{
	struct err_list errs;
	struct mapping m;

	(void)state;
	mapping_init(&m);
	take(&m,
		"{\"protocol\":\"udp\",\"target_port\":80,\"source_port\":9,\"source_port_end\":8,\"bind_address\":"
		"\"x\","
		"\"proxy_protocol\":\"v1\",\"expires_at\":\"2001-01-01T00:00:00Z\"}",
		&errs);
	assert_int_equal(errs.n, 5);
	mapping_fini(&m);
}

static void defaults(void **state)
{
	struct err_list errs;
	struct mapping tcp, udp;

	(void)state;
	mapping_init(&tcp);
	mapping_init(&udp);
	take(&tcp, "{" TCP "}", &errs);
	assert_int_equal(errs.n, 0);
	take(&udp, "{" UDP "}", &errs);
	assert_int_equal(errs.n, 0);
	assert_true(tcp.active);
	assert_string_equal(tcp.group_name, "default");
	assert_string_equal(tcp.conf.bind, "");
	assert_int_equal(tcp.conf.port_first, 0);
	assert_int_equal(tcp.conf.connect_timeout_ms, 10000);
	assert_int_equal(tcp.conf.idle_timeout_ms, 3600000);
	assert_int_equal(udp.conf.idle_timeout_ms, 60000);
	assert_int_equal(tcp.conf.half_close_timeout_ms, 300000);
	assert_int_equal(tcp.conf.keepalive_s, 30);
	assert_int_equal(tcp.conf.on_delete, MAPPING_DRAIN);
	assert_int_equal(tcp.conf.drain_ms, 30000);
	assert_int_equal(tcp.conf.max_connections, 0);
	assert_int_equal(udp.conf.max_connections, 10000);
	mapping_fini(&tcp);
	mapping_fini(&udp);
}

#define FULL                                                                                                           \
	"{" TCP                                                                                                        \
	",\"name\":\"n\",\"description\":\"d\",\"source_port\":20000,\"source_port_end\":20099,\"bind_address\":\""    \
	"2001:DB8::1\",\"status\":\"inactive\",\"expires_at\":\"2030-01-01T00:00:00Z\",\"limits\":{\"bandwidth_in\":"  \
	"1,"                                                                                                           \
	"\"bandwidth_out\":2,\"max_connections\":3,\"max_connections_per_source\":4,\"connection_rate_per_source\":5}" \
	","                                                                                                            \
	"\"allow\":[\"10.0.0.0/8\",\"::/"                                                                              \
	"0\"],\"deny\":[\"10.1.1.1\"],\"proxy_protocol\":\"v2\",\"accept_proxy_protocol\":{"                           \
	"\"enabled\":true,\"trusted\":[\"192.0.2.0/"                                                                   \
	"24\"]},\"timeouts\":{\"connect\":\"1500ms\",\"idle\":7,\"half_close\":"                                       \
	"\"2m\"},\"keepalive\":0,\"on_delete\":\"cut\",\"drain\":\"1s\",\"hot\":true}"

static void everything_is_taken(void **state)
{
	struct err_list errs;
	struct mapping m;

	(void)state;
	mapping_init(&m);
	take(&m, FULL, &errs);
	assert_int_equal(errs.n, 0);
	assert_string_equal(m.conf.bind, "2001:db8::1");
	assert_int_equal(m.conf.port_last, 20099);
	assert_false(m.active);
	assert_int_equal(m.conf.rate_in, 1);
	assert_int_equal(m.conf.rate_out, 2);
	assert_int_equal(m.conf.max_connections, 3);
	assert_int_equal(m.conf.max_per_source, 4);
	assert_int_equal(m.conf.rate_per_source, 5);
	assert_int_equal(m.conf.allow.n, 2);
	assert_int_equal(m.conf.deny.n, 1);
	assert_int_equal(m.conf.deny.items[0].bits, 32);
	assert_int_equal(m.conf.proxy_out, MAPPING_PROXY_V2);
	assert_true(m.conf.proxy_in);
	assert_int_equal(m.conf.connect_timeout_ms, 1500);
	assert_int_equal(m.conf.idle_timeout_ms, 7000);
	assert_int_equal(m.conf.half_close_timeout_ms, 120000);
	assert_int_equal(m.conf.keepalive_s, 0);
	assert_int_equal(m.conf.on_delete, MAPPING_CUT);
	assert_true(m.conf.hot);
	mapping_fini(&m);
}

static void print_text(const struct mapping *m, struct buf *b)
{
	buf_init(b, MAPPING_OBJECT_MAX);
	mapping_print(b, NULL, m, NULL);
	assert_false(b->failed);
}

/* What was read can be sent back, changes nothing, and what is stored comes back the same. */
static void round_trips(void **state)
{
	struct mapping m, again;
	struct buf printed, text, fields;
	struct err_list errs;
	struct err e;

	(void)state;
	mapping_init(&m);
	take(&m, FULL, &errs);
	str_copy(m.id, sizeof m.id, "map_1");
	mapping_init(&again);
	take(&again, FULL, &errs);
	str_copy(again.id, sizeof again.id, "map_1");
	print_text(&m, &printed);
	take(&again, buf_cstr(&printed), &errs);
	assert_int_equal(errs.n, 0);
	buf_init(&fields, 1000);
	mapping_diff(&m, &again, &fields);
	assert_string_equal(buf_cstr(&fields), "");

	buf_init(&text, 10000);
	mapping_settings_store(&m.conf, &text);
	assert_int_equal(mapping_settings_load(&again.conf, buf_cstr(&text), &e), 0);
	mapping_diff(&m, &again, &fields);
	assert_string_equal(buf_cstr(&fields), "");
	buf_free(&text);
	buf_free(&fields);
	buf_free(&printed);
	mapping_fini(&m);
	mapping_fini(&again);
}

/* One update of a mapping made from FULL: which members changed, and what stands there now. */
static void updates(void **state)
{
	static const struct {
		const char *what, *body, *fields, *printed; /* printed: a part of it */
	} cases[] = {
		{ "nothing", "{}", "", "" },
		{ "the same", "{\"name\":\"n\",\"source_port\":20000}", "", "" },
		{ "name", "{\"name\":\"other\"}", "name", "\"name\":\"other\"" },
		{ "null resets", "{\"name\":null,\"limits\":null,\"deny\":null}", "name,limits,deny", "\"deny\":[]" },
		{ "one limit stays beside another", "{\"limits\":{\"bandwidth_in\":9}}", "limits",
			"\"bandwidth_in\":9,\"bandwidth_out\":2" },
		{ "null in a section", "{\"timeouts\":{\"idle\":null}}", "timeouts", "\"idle\":\"3600s\"" },
		{ "status", "{\"status\":\"active\"}", "status", "\"status\":\"active\"" },
		{ "range becomes one port", "{\"source_port_end\":null}", "source_port_end",
			"\"source_port_end\":null" },
		{ "as many ports", "{\"source_port\":300,\"source_port_count\":3}", "source_port,source_port_end",
			"\"source_port_end\":302" },
		{ "a picked range is as wide", "{\"source_port\":0}", "source_port,source_port_end",
			"\"source_port\":0,\"source_port_end\":99" },
		{ "another width to be picked", "{\"source_port\":0,\"source_port_count\":3}",
			"source_port,source_port_end", "\"source_port\":0,\"source_port_end\":2" },
		{ "never expires", "{\"expires_at\":null}", "expires_at", "\"expires_at\":null" },
		{ "every address", "{\"bind_address\":null}", "bind_address", "\"bind_address\":\"\"" },
		{ "another target", "{\"target_host\":\"10.0.0.1\",\"target_port\":81}", "target_host,target_port",
			"\"target_port\":81" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mapping m, before;
		struct buf fields, printed;
		struct err_list errs;

		print_message("%s\n", cases[i].what);
		mapping_init(&m);
		mapping_init(&before);
		take(&m, FULL, &errs);
		take(&before, FULL, &errs);
		str_copy(m.id, sizeof m.id, "map_1");
		take(&m, cases[i].body, &errs);
		assert_int_equal(errs.n, 0);
		buf_init(&fields, 1000);
		mapping_diff(&before, &m, &fields);
		assert_string_equal(buf_cstr(&fields), cases[i].fields);
		print_text(&m, &printed);
		assert_non_null(strstr(buf_cstr(&printed), cases[i].printed));
		buf_free(&printed);
		buf_free(&fields);
		mapping_fini(&m);
		mapping_fini(&before);
	}
}

static void protocol_stays(void **state)
{
	struct err_list errs;
	struct mapping m;

	(void)state;
	mapping_init(&m);
	take(&m, "{" TCP "}", &errs);
	str_copy(m.id, sizeof m.id, "map_1");
	take(&m, "{\"protocol\":\"tcp\"}", &errs);
	assert_int_equal(errs.n, 0);
	take(&m, "{\"protocol\":\"udp\"}", &errs);
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.items[0].field, "protocol");
	mapping_fini(&m);
}

static void serves(void **state)
{
	static const struct {
		const char *what;
		bool active, owner;
		int64_t expires_ms;
		bool want;
	} cases[] = {
		{ "plain", true, true, 0, true },
		{ "switched off", false, true, 0, false },
		{ "owner suspended", true, false, 0, false },
		{ "expires later", true, true, NOW + 1, true },
		{ "expires now", true, true, NOW, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mapping m;

		print_message("%s\n", cases[i].what);
		mapping_init(&m);
		m.active = cases[i].active;
		m.owner_active = cases[i].owner;
		m.conf.expires_ms = cases[i].expires_ms;
		assert_int_equal(mapping_serves(&m, NOW), cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(all_errors_at_once),
		cmocka_unit_test(defaults),
		cmocka_unit_test(everything_is_taken),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(updates),
		cmocka_unit_test(protocol_stays),
		cmocka_unit_test(serves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
