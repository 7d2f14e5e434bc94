#include "controld/mail/letter.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/mail/template.h"

#include <string.h>

/* ---- the table ---------------------------------------------------------------------------------------------------- */

#define HEAD                                                                                                     \
	"<!doctype html><html><head><meta charset=\"utf-8\"></head><body style=\"margin:0;background:#f4f4f5\">" \
	"<div style=\"max-width:560px;margin:24px auto;padding:24px;background:#fff;font:16px/1.5 sans-serif;"   \
	"color:#18181b\">"
#define FOOT  "</div></body></html>"
#define H1(t) "<h1 style=\"font-size:20px;margin:0 0 16px\">" t "</h1>"
#define P(t)  "<p style=\"margin:0 0 16px\">" t "</p>"
#define BUTTON(url, t)                                                                                                \
	"<p style=\"margin:0 0 16px\"><a href=\"{{url:" url                                                           \
	"}}\" style=\"display:inline-block;padding:10px 16px;background:#2563eb;color:#fff;text-decoration:none\">" t \
	"</a></p>"
#define SMALL(t)         "<p style=\"margin:0;font-size:13px;color:#71717a\">" t "</p>"
#define ROW(name, value) "<tr><td style=\"padding:2px 16px 2px 0;color:#71717a\">" name "</td><td>" value "</td></tr>"

const struct letter letters[] = {
	{ "welcome", "Welcome, {{name|friend}}",
		"Hello {{name|there}},\n\nwelcome. Your account is ready.\n"
		"{{#verifyUrl}}\nPlease confirm your address:\n{{url:verifyUrl}}\n{{/verifyUrl}}"
		"{{#loginUrl}}\nThis is where you log in:\n{{url:loginUrl}}\n{{/loginUrl}}",
		HEAD H1("Welcome, {{name|friend}}") P("Your account is ready.") "{{#verifyUrl}}" BUTTON(
			"verifyUrl", "Confirm your address") "{{/verifyUrl}}{{#loginUrl}}" BUTTON("loginUrl",
			"Log in") "{{/loginUrl}}" FOOT,
		"", "name verifyUrl loginUrl", "Greets somebody who is new" },
	{ "verify", "Please confirm your address",
		"Hello {{name|there}},\n\nplease confirm your address:\n{{url:verifyUrl}}\n"
		"{{#expiresIn}}\nThe link is good for {{expiresIn}}.\n{{/expiresIn}}\nIf this was not you, nothing "
		"happens when you "
		"ignore this.\n",
		HEAD H1("Confirm your address") P("Hello {{name|there}}, please confirm your address.")
			BUTTON("verifyUrl", "Confirm") SMALL("{{#expiresIn}}The link is good for {{expiresIn}}. "
							     "{{/expiresIn}}If this was not you, nothing happens "
							     "when you ignore this.") FOOT,
		"verifyUrl", "name expiresIn", "Asks whether an address is somebody's own" },
	{ "reset", "A new password",
		"Hello {{name|there}},\n\nsomebody asked for a new password for your account. It is chosen "
		"here:\n{{url:resetUrl}}\n"
		"{{#expiresIn}}\nThe link is good for {{expiresIn}}.\n{{/expiresIn}}\nIf this was not you, ignore "
		"this: nothing has "
		"changed.\n",
		HEAD H1("A new password") P("Hello {{name|there}}, somebody asked for a new password for your account.")
			BUTTON("resetUrl", "Choose a new password")
				SMALL("{{#expiresIn}}The link is good for {{expiresIn}}. "
				      "{{/expiresIn}}If this was not you, ignore "
				      "this: nothing has changed.") FOOT,
		"resetUrl", "name expiresIn", "Leads to choosing a new password" },
	{ "alert", "[{{severity|alert}}] {{title}}",
		"{{title}}\n\n{{message}}\n{{#time}}\nTime: {{time}}\n{{/time}}{{#url}}\n{{url:url}}\n{{/url}}",
		HEAD H1("{{title}}") P("{{message}}") "{{#time}}" SMALL("{{time}}") "{{/time}}{{#url}}" BUTTON(
			"url", "Look at it") "{{/url}}" FOOT,
		"title message", "severity time url", "Says that something is wrong" },
	{ "sync_report", "Sync {{type|full}}: {{status}}",
		"Sync of {{panel|the panel}}\n\nType:     {{type|full}}\nStatus:   {{status}}\nDuration: "
		"{{duration|-}}\nObjects:  "
		"{{itemsSynced|0}} of {{itemsTotal|0}}, {{itemsChanged|0}} changed, {{itemsRemoved|0}} removed, "
		"{{itemsFailed|0}} "
		"failed\n{{#error}}\nError: {{error}}\n{{/error}}{{#url}}\n{{url:url}}\n{{/url}}",
		HEAD H1("Sync of {{panel|the panel}}: {{status}}") "<table style=\"margin:0 0 "
								   "16px;font-size:14px\">" ROW(
									   "Type", "{{type|full}}") ROW("Duration",
									   "{{duration|-}}") ROW("Objects",
									   "{{itemsSynced|0}} of {{itemsTotal|0}}")
									   ROW("Changed", "{{itemsChanged|0}}") ROW(
										   "Removed", "{{itemsRemoved|0}}")
										   ROW("Failed", "{{itemsFailed|0}}") "</table>{{#error}}" P(
											   "{{error}}") "{{/"
													"error}}{{#url}"
													"}" BUTTON("ur"
														   "l",
														"Look "
														"at it") "{{/url}}" FOOT,
		"status",
		"panel type duration itemsTotal itemsSynced itemsChanged itemsRemoved itemsFailed error url syncLogId",
		"Says how a sync of a panel ended" },
};
const size_t letters_n = ARRAY_LEN(letters);
const char *const letter_names[] = { "welcome", "verify", "reset", "alert", "sync_report", NULL };

/* ---- values ------------------------------------------------------------------------------------------------------- */

const struct letter *letter_find(const char *name)
{
	for (size_t i = 0; i < letters_n; i++)
		if (str_eq(letters[i].name, name))
			return &letters[i];
	return NULL;
}

/* Whether a word is among others, by blanks. */
static bool has_word(const char *words, const char *word)
{
	const size_t n = strlen(word);

	for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
		if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return n > 0;
	return false;
}

static bool is_empty(const json_t *v)
{
	return v == NULL || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0);
}

static void check_needs(const struct letter *l, const json_t *values, struct err_list *errs)
{
	char name[TEMPLATE_NAME_MAX + 1], field[TEMPLATE_NAME_MAX + 8];

	for (const char *at = l->needs; *at != '\0';) {
		const size_t n = strcspn(at, " ");

		(void)str_fmt(name, sizeof name, "%.*s", (int)n, at);
		(void)str_fmt(field, sizeof field, "data.%s", name);
		if (is_empty(json_object_get(values, name)))
			err_list_add(errs, ERR_VALIDATION, field, "required", "", "%s: template %s needs it", field,
				l->name);
		at += n + (at[n] == ' ');
	}
}

void letter_check(const struct letter *l, const json_t *values, struct err_list *errs)
{
	char field[96];
	const char *name;
	json_t *v;

	check_needs(l, values, errs);
	json_object_foreach((json_t *)(uintptr_t)values, name, v)
	{
		(void)str_fmt(field, sizeof field, "data.%.80s", name);
		str_make_utf8(field);
		if (!has_word(l->needs, name) && !has_word(l->takes, name))
			err_list_add(errs, ERR_VALIDATION, field, "unknown", "",
				"%s: template %s has no place for it; it takes %s%s%s", field, l->name, l->needs,
				*l->needs != '\0' ? " " : "", l->takes);
		else if (json_is_object(v) || json_is_array(v))
			err_list_add(errs, ERR_VALIDATION, field, "type", "",
				"%s: must be a text, a number or a boolean", field);
	}
}

/* ---- making ------------------------------------------------------------------------------------------------------- */

int letter_make(
	struct letter_made *out, const struct letter *l, const char *subject, const json_t *values, struct err *e)
{
	buf_init(&out->subject, TEMPLATE_VALUE_MAX);
	buf_init(&out->text, LETTER_BODY_MAX);
	buf_init(&out->html, LETTER_BODY_MAX);
	if (subject != NULL)
		buf_put(&out->subject, subject, strlen(subject));
	else if (template_render(&out->subject, TEMPLATE_TEXT, l->subject, values, e) != 0)
		goto fail;
	if (template_render(&out->text, TEMPLATE_TEXT, l->text, values, e) != 0 ||
		template_render(&out->html, TEMPLATE_HTML, l->html, values, e) != 0)
		goto fail;
	return 0;
fail:
	letter_made_fini(out);
	return -1;
}

void letter_made_fini(struct letter_made *m)
{
	buf_free(&m->subject);
	buf_free(&m->text);
	buf_free(&m->html);
}
