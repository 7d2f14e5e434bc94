/* format_discord: embeds within Discord's limits, colours, and what its answers mean. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "controld/notify/format.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What is sent for a text; takes nothing, the caller frees. */
static json_t *rendered(const char *text)
{
	struct err e = { 0 };
	struct buf out;
	json_t *message;

	buf_init(&out, 1 << 20);
	if (format_discord.render(text, &out, &e) != 0)
		fail_msg("%s: %s", text, e.msg);
	message = json_loads(buf_cstr(&out), 0, NULL);
	assert_true(json_is_object(message));
	buf_free(&out);
	return message;
}

static json_t *embed_of(json_t *message)
{
	json_t *embeds = json_object_get(message, "embeds");

	assert_int_equal(json_array_size(embeds), 1);
	return json_array_get(embeds, 0);
}

/* UTF-16 code units. */
static size_t units(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80 ? ((unsigned char)*s >= 0xf0 ? 2 : 1) : 0;
	return n;
}

static size_t checked(const char *s, size_t max)
{
	assert_non_null(s);
	assert_true(units(s) <= max);
	assert_true(str_is_utf8(s, strlen(s)));
	return units(s);
}

/* Every limit that Discord names; answers the sum of all texts. */
static size_t check_limits(const json_t *embed)
{
	const json_t *fields = json_object_get(embed, "fields");
	size_t sum = checked(json_string_value(json_object_get(embed, "title")), 256), i;
	json_t *f;

	assert_true(json_array_size(fields) <= 25);
	json_array_foreach(fields, i, f)
	{
		assert_true(*json_string_value(json_object_get(f, "name")) != '\0');
		assert_true(*json_string_value(json_object_get(f, "value")) != '\0');
		sum += checked(json_string_value(json_object_get(f, "name")), 256);
		sum += checked(json_string_value(json_object_get(f, "value")), 1024);
	}
	if (json_object_get(embed, "footer") != NULL)
		sum += checked(json_string_value(json_object_get(json_object_get(embed, "footer"), "text")), 2048);
	assert_true(sum <= 6000);
	return sum;
}

static const char *field(const json_t *embed, const char *name)
{
	size_t i;
	json_t *f;

	json_array_foreach(json_object_get(embed, "fields"), i,
		f) if (str_eq(json_string_value(json_object_get(f, "name")),
			       name)) return json_string_value(json_object_get(f, "value"));
	return NULL;
}

static void test_a_message(void **state)
{
	json_t *message = rendered(
		"{\"id\":\"ev1\",\"event\":\"sync.completed\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"tenant_id\":"
		"\"t\","
		"\"data\":{\"type\":\"full\",\"servers\":120,\"ok\":true,\"rate\":1.5,\"none\":null,\"empty\":\"\"}}");
	const json_t *embed = embed_of(message), *mentions = json_object_get(message, "allowed_mentions");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(embed, "title")), "Sync completed");
	assert_string_equal(json_string_value(json_object_get(embed, "timestamp")), "2026-01-02T03:04:05Z");
	assert_string_equal(field(embed, "type"), "full");
	assert_string_equal(field(embed, "servers"), "120");
	assert_string_equal(field(embed, "ok"), "yes");
	assert_string_equal(field(embed, "rate"), "1.5");
	assert_null(field(embed, "none"));
	assert_null(field(embed, "empty")); /* Discord would refuse the message */
	assert_true(json_is_array(json_object_get(mentions, "parse")));
	assert_int_equal(json_array_size(json_object_get(mentions, "parse")), 0);
	check_limits(embed);
	json_decref(message);
}

static void test_a_change(void **state)
{
	json_t *message = rendered(
		"{\"event\":\"mapping.created\",\"data\":{\"subject\":\"map_1\",\"actor\":\"usr_1\",\"fields\":[],"
		"\"mapping\":{\"name\":\"redis\",\"source_port\":20379,\"limits\":{\"x\":1}}}}");
	const json_t *embed = embed_of(message);

	(void)state;
	assert_string_equal(field(embed, "subject"), "map_1");
	assert_string_equal(field(embed, "name"), "redis");
	assert_string_equal(field(embed, "source_port"), "20379");
	json_decref(message);
}

static void test_colours(void **state)
{
	static const struct {
		const char *event, *data;
		int colour;
	} cases[] = {
		{ "sync.completed", "{}", 0x2ECC71 },
		{ "sync.failed", "{}", 0xE74C3C },
		{ "mapping.deleted", "{}", 0xE67E22 },
		{ "mapping.updated", "{}", 0x3498DB },
		{ "sync.completed", "{\"status\":\"FAILED\"}", 0xE74C3C },
		{ "sync.failed", "{\"severity\":\"warning\"}", 0xE67E22 },
		{ "backend.health_changed", "{\"status\":\"unhealthy\"}", 0xE74C3C },
		{ "backend.health_changed", "{\"status\":\"healthy\"}", 0x2ECC71 },
		{ "sync.started", "{\"severity\":7}", 0x3498DB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256];
		json_t *message;

		(void)str_fmt(text, sizeof text, "{\"event\":\"%s\",\"data\":%s}", cases[i].event, cases[i].data);
		message = rendered(text);
		if (json_integer_value(json_object_get(embed_of(message), "color")) != cases[i].colour)
			fail_msg("%s %s", cases[i].event, cases[i].data);
		json_decref(message);
	}
}

/* Too many fields, too long ones, of characters that are one, two, three and four bytes long. */
static void test_limits(void **state)
{
	static const char *const letters[] = { "a", "\u00e4", "\u20ac", "\U0001F600" };

	(void)state;
	for (size_t l = 0; l < ARRAY_LEN(letters); l++)
		for (size_t n = 1; n < 4000; n = n * 3 + 1) {
			json_t *data = json_object(), *body, *message;
			struct buf long_one;
			char name[400], *text;

			buf_init(&long_one, 1 << 20);
			for (size_t i = 0; i < n; i++)
				buf_put(&long_one, letters[l], strlen(letters[l]));
			for (int i = 0; i < 40; i++) {
				(void)str_fmt(name, sizeof name, "%0*d", i < 3 ? 300 : 2, i);
				json_object_set_new(data, name, json_string(buf_cstr(&long_one)));
			}
			body = json_pack("{s:s, s:s, s:o}", "id", "x", "event", "some.event", "data", data);
			text = json_dumps(body, 0);
			message = rendered(text);
			check_limits(embed_of(message));
			if (n < 40)
				assert_int_equal(json_array_size(json_object_get(embed_of(message), "fields")), 25);
			json_decref(message);
			free(text);
			json_decref(body);
			buf_free(&long_one);
		}
}

static void test_no_object(void **state)
{
	struct err e = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(format_discord.render("[]", &out, &e), -1);
	assert_int_equal(format_discord.render("", &out, &e), -1);
	buf_free(&out);
}

static void test_urls(void **state)
{
	char shown[200];

	(void)state;
	assert_ptr_equal(format_of_url("https://discord.com/api/webhooks/123456/abcdef"), &format_discord);
	assert_ptr_equal(
		format_of_url("https://discord.com/api/v10/webhooks/123456/abcdef?thread_id=1"), &format_discord);
	assert_ptr_equal(format_of_url("https://discord.com.example.com/api/webhooks/1/a"), &format_generic);
	assert_ptr_equal(format_of_url("https://example.com/discord.com/api/webhooks/1/a"), &format_generic);
	format_discord.show_url("https://discord.com/api/webhooks/123456/abcdef?thread_id=1", shown, sizeof shown);
	assert_string_equal(shown, "https://discord.com/api/webhooks/123456/***");
	format_discord.show_url("https://discord.com/api/webhooks/123456/abcdef/", shown, sizeof shown);
	assert_string_equal(shown, "https://discord.com/api/webhooks/123456/***");
	format_generic.show_url("https://example.com/a?token=b", shown, sizeof shown);
	assert_string_equal(shown, "https://example.com/a?***");
}

static void test_answers(void **state)
{
	static const struct {
		int status;
		enum verdict want;
	} cases[] = { { 200, VERDICT_DELIVERED }, { 204, VERDICT_DELIVERED }, { 400, VERDICT_REFUSED },
		{ 401, VERDICT_DEAD }, { 403, VERDICT_DEAD }, { 404, VERDICT_DEAD }, { 408, VERDICT_AGAIN },
		{ 413, VERDICT_REFUSED }, { 429, VERDICT_AGAIN }, { 500, VERDICT_AGAIN }, { 502, VERDICT_AGAIN },
		{ 302, VERDICT_AGAIN } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(format_discord.judge(cases[i].status), cases[i].want);
}

static void test_how_long_it_waits(void **state)
{
	static const struct {
		int status;
		const char *head, *body;
		int64_t want;
	} cases[] = {
		{ 429, "", "{\"retry_after\":0.57,\"global\":false}", 570 },
		{ 429, "Retry-After: 65\r\n", "{\"retry_after\":64.2}", 64200 },
		{ 429, "Retry-After: 3\r\n", "<html>", 3000 },
		{ 429, "Retry-After: soon\r\n", "{\"retry_after\":-1}", 600000 },
		{ 429, "X-RateLimit-Reset-After: 1.25\r\n", "", 1250 },
		{ 429, "", "{\"code\":0,\"message\":\"blocked\"}", 600000 },
		{ 429, "", "{\"retry_after\":1e300}", 3600000 },
		{ 204, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset-After: 0.4\r\n", "", 400 },
		{ 204, "X-RateLimit-Remaining: 3\r\nX-RateLimit-Reset-After: 0.4\r\n", "", 0 },
		{ 204, "X-RateLimit-Remaining: 0\r\n", "", 0 },
		{ 204, "", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct outbound_answer a = { .status = cases[i].status };
		int64_t got;

		buf_init(&a.head, 1000);
		buf_init(&a.body, 1000);
		buf_printf(&a.head, "%s", cases[i].head);
		buf_printf(&a.body, "%s", cases[i].body);
		got = format_discord.pause_ms(&a);
		if (got != cases[i].want)
			fail_msg("%zu: %lld, not %lld", i, (long long)got, (long long)cases[i].want);
		buf_free(&a.head);
		buf_free(&a.body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message),
		cmocka_unit_test(test_a_change),
		cmocka_unit_test(test_colours),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_object),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_how_long_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
