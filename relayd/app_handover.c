#include "common/base/err.h"
#include "common/base/log.h"
#include "relayd/admin/admin.h"
#include "relayd/app_room.h"
#include "relayd/bequest.h"
#include "relayd/saver.h"
#include "relayd/settings.h"
#include "relayd/uplink.h"

/* Handing over to a successor: it serves from our sockets, takes the line and the file from us, and then we drain. */

/* The successor is not there any more, or never was: this process goes on as before. */
static void app_go_on(struct app *a, const char *why)
{
	struct err e = { .code = ERR_NONE };

	log_error("handover_failed", log_s("reason", why));
	bequest_free(a->bequest);
	a->bequest = NULL;
	a->stepping_back = false;
	if (a->state == APP_SERVING && a->uplink == NULL && app_open_uplink(a, &e) != 0)
		log_error("uplink_not_opened", log_err(&e));
}

static void on_stepped_back(void *arg)
{
	struct app *a = arg;
	struct err e = { .code = ERR_NONE };

	if (--a->stepping > 0 || a->state != APP_SERVING)
		return;
	if (a->bequest == NULL) {
		app_go_on(a, "the new process ended while this one stepped back");
		return;
	}
	if (bequest_go(a->bequest, &e) != 0) {
		app_go_on(a, e.msg);
		return;
	}
	log_info("handed_over");
	a->handed_over = true;
	bequest_free(a->bequest);
	a->bequest = NULL;
	if (a->admin != NULL)
		admin_quiesce(a->admin);
	app_drain(a, a->settings->drain_timeout_ms);
}

/* It serves from the same sockets. Only one may report and keep the file, so both are closed before it is told. */
static void on_bequest_ready(void *arg)
{
	struct app *a = arg;
	struct saver *saver = a->saver;
	struct uplink *uplink = a->uplink;

	a->stepping_back = true;
	a->stepping = 2;
	a->saver = NULL;
	a->uplink = NULL;
	saver_close(saver, on_stepped_back, a);
	uplink_close(uplink, on_stepped_back, a);
}

static void on_bequest_failed(void *arg, const char *why)
{
	struct app *a = arg;

	if (!a->stepping_back) {
		app_go_on(a, why);
		return;
	}
	bequest_free(a->bequest); /* on_stepped_back() finds it gone */
	a->bequest = NULL;
}

void app_hand_over(struct app *a)
{
	static const struct bequest_events events = { on_bequest_ready, on_bequest_failed };
	const struct bequest_goods goods = { .services = &a->engine.services,
		.running = a->engine.running,
		.lock_fd = a->dir.lock_fd,
		.admin_fd = a->admin != NULL ? admin_fd(a->admin) : -1 };
	struct err e = { .code = ERR_NONE };

	if (a->inheritance.from != NULL) { /* on_go() comes back to it */
		log_info("handover_later", log_s("reason", "the predecessor has not stepped back yet"));
		a->hand_over_wanted = true;
		return;
	}
	if (a->state != APP_SERVING || a->bequest != NULL || a->stepping_back) {
		log_warn("handover_not_now",
			log_s("reason", a->state != APP_SERVING ? app_state_name(a) : "one is under way"));
		return;
	}
	log_info("handing_over", log_s("program", a->program));
	if (bequest_start(&a->bequest, &a->loop, a->program, a->options, a->settings->handover_timeout_ms, &goods,
		    &events, a, &e) != 0)
		log_error("handover_failed", log_err(&e));
}
