/* The part that sends mail. */
#include "controld/app_parts.h"
#include "controld/mail/mail.h"

int app_mail_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct mail_conf conf = {
		.store = a->store,
		.outbound = a->outbound,
		.jobs = a->jobs,
		.platform = a->platform,
		.url = s->mail.url,
		.webhook_secret = s->mail.webhook_secret,
		.rate = (unsigned)s->mail.rate,
		.timeout_ms = s->mail.timeout_ms,
	};

	return mail_new(&a->mail, &conf, e);
}

void app_mail_close(struct app *a)
{
	mail_free(a->mail);
}
