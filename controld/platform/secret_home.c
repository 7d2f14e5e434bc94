#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/out/guard.h"
#include "controld/platform/room.h"

/* Which secrets are sent to which URLs. */
static const struct pair {
	enum setting_key url, secret;
} pairs[] = {
	{ SETTING_PTERODACTYL_URL, SETTING_PTERODACTYL_API_KEY },
	{ SETTING_PTERODACTYL_URL, SETTING_PTERODACTYL_CLIENT_API_KEY },
	{ SETTING_PTERODACTYL_URL, SETTING_CF_ACCESS_CLIENT_SECRET },
	{ SETTING_VIRTFUSION_URL, SETTING_VIRTFUSION_API_KEY },
	{ SETTING_VIRTFUSION_URL, SETTING_CF_ACCESS_CLIENT_SECRET },
	{ SETTING_SCALAR_URL, SETTING_SCALAR_API_KEY },
};

static const char *file_text(const struct platform *p, enum setting_key k)
{
	return p->conf.text[k] != NULL ? p->conf.text[k] : "";
}

/* Whether a secret that the call does not bring would go where it is meant to go, or where it goes already. */
static bool is_at_home(const struct platform *p, const struct pair *of, const struct settings_now *was, const char *url,
	enum setting_step secret)
{
	const char *file_url = file_text(p, of->url);

	if (secret == SETTING_RESET)
		return guard_same_place(url, file_url);
	return guard_same_place(url, was->of[of->url].text) ||
	       (!was->of[of->secret].kept && guard_same_place(url, file_url));
}

static int check(const struct platform *p, const struct pair *of, const struct settings_now *was,
	const struct settings_now *wanted, const enum setting_step *steps, struct err *e)
{
	const enum setting_step step_url = steps[of->url], step = steps[of->secret];
	const char *secret = step == SETTING_RESET ? file_text(p, of->secret) : was->of[of->secret].text;
	const char *url = was->of[of->url].text, *name = setting_name(of->secret);

	if (step_url != SETTING_LEAVE)
		url = step_url == SETTING_SET ? wanted->of[of->url].text : file_text(p, of->url);
	if (step == SETTING_SET || (step == SETTING_LEAVE && step_url == SETTING_LEAVE) || *secret == '\0' ||
		*url == '\0' || is_at_home(p, of, was, url, step))
		return 0;
	err_set(e, ERR_VALIDATION, name,
		"%s: what is kept was not given for the scheme, host and port of %s; send it with it, or \"\" for none",
		name, setting_name(of->url));
	return err_detail(e, "required", "***");
}

int secret_home_check(const struct platform *p, const struct settings_now *was, const struct settings_now *wanted,
	const enum setting_step *steps, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (check(p, &pairs[i], was, wanted, steps, e) != 0)
			return -1;
	return 0;
}
