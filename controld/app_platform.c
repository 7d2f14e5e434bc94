/* What system administrators set, with the settings of the file behind it; device logins, which read it. */
#include "controld/app_parts.h"
#include "controld/device_login/device_login.h"
#include "controld/platform/platform.h"

int app_platform_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct platform_conf conf = {
		.store = a->store,
		.outbound = a->outbound,
		.text = {
			[SETTING_CF_ACCESS_CLIENT_ID] = s->panel.cf_access_id,
			[SETTING_CF_ACCESS_CLIENT_SECRET] = s->panel.cf_access_secret,
			[SETTING_EMAIL_FROM] = s->mail.from,
			[SETTING_PTERODACTYL_API_KEY] = s->panel.pterodactyl_key,
			[SETTING_PTERODACTYL_CLIENT_API_KEY] = s->panel.pterodactyl_client_key,
			[SETTING_PTERODACTYL_URL] = s->panel.pterodactyl_url,
			[SETTING_RESEND_API_KEY] = s->mail.resend_key,
			[SETTING_SYNC_REPORT_EMAIL] = s->panel.report_email,
			[SETTING_VIRTFUSION_API_KEY] = s->panel.virtfusion_key,
			[SETTING_VIRTFUSION_URL] = s->panel.virtfusion_url,
		},
		.number = {
			[SETTING_AUTO_SYNC_ENABLED] = s->panel.auto_sync,
			[SETTING_AUTO_SYNC_INTERVAL] = (int64_t)(s->panel.auto_sync_ms / 1000),
			[SETTING_HYTALE_USE_STAGING] = s->hytale.environment == HYTALE_STAGING || s->hytale.use_staging,
			[SETTING_SYNC_BATCH_SIZE] = (int64_t)s->panel.batch,
			[SETTING_SYNC_REPORT_ALL] = s->panel.report_all,
		},
	};

	return platform_new(&a->platform, &conf, e);
}

void app_platform_close(struct app *a)
{
	platform_free(a->platform);
}

int app_device_login_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct device_login_conf conf = {
		.store = a->store,
		.outbound = a->outbound,
		.platform = a->platform,
		.jobs = a->jobs,
		.oauth_url = s->hytale.oauth_url,
		.accounts_url = s->hytale.accounts_url,
		.sessions_url = s->hytale.sessions_url,
		.open = s->hytale.open,
		.sessions_max = s->hytale.sessions_max,
	};

	return device_login_new(&a->device_login, &conf, e);
}

void app_device_login_close(struct app *a)
{
	device_login_free(a->device_login);
}
