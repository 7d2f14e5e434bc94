/* The part that reads what hosting panels have. */
#include "controld/app_parts.h"
#include "controld/panel/panels.h"

int app_panel_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct panels_conf conf = {
		.store = a->store,
		.outbound = a->outbound,
		.jobs = a->jobs,
		.platform = a->platform,
		.mail = a->mail,
		.driver = (enum panels_driver)s->panel.driver,
		.rate_limit = (unsigned)s->panel.rate_limit,
		.rate_window_ms = s->panel.rate_window_ms,
		.parallel = (unsigned)s->panel.parallel,
		.timeout_ms = s->panel.timeout_ms,
		.keep_ms = s->keep.jobs_dead_ms,
	};

	return panels_new(&a->panels, &conf, e);
}

void app_panel_close(struct app *a)
{
	panels_free(a->panels);
}
