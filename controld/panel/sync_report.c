#include "controld/panel/sync_report.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/mail/mail.h"
#include "controld/panel/room.h"
#include "controld/platform/platform.h"

#include <inttypes.h>
#include <jansson.h>

int sync_report_read(struct panels *p, struct sync_report *out, struct err *e)
{
	int64_t all;

	if (platform_text(p->conf.platform, SETTING_SYNC_REPORT_EMAIL, out->to, sizeof out->to, e) != 0 ||
		platform_number(p->conf.platform, SETTING_SYNC_REPORT_ALL, &all, e) != 0)
		return -1;
	out->all = all != 0;
	return 0;
}

static bool went_well(const struct sync_log *s)
{
	return str_eq(s->state, "COMPLETED") && s->failed == 0 && s->error[0] == '\0';
}

/* "2h5m30s" */
static void duration_of(char *dst, size_t size, const struct sync_log *s)
{
	const int64_t all = s->started_ms != 0 ? MAX(s->completed_ms - s->started_ms, 0) / 1000 : 0;

	if (all >= 3600)
		(void)str_fmt(dst, size, "%" PRId64 "h%" PRId64 "m%" PRId64 "s", all / 3600, all / 60 % 60, all % 60);
	else if (all >= 60)
		(void)str_fmt(dst, size, "%" PRId64 "m%" PRId64 "s", all / 60, all % 60);
	else
		(void)str_fmt(dst, size, "%" PRId64 "s", all);
}

int sync_report_in(
	struct db *tx, struct panels *p, const struct sync_report *r, const struct sync_log *s, struct err *e)
{
	char duration[48];
	struct mail_order o = { .to = r->to, .letter = "sync_report", .key = s->id };
	json_t *data;
	int rc;

	if (p->conf.mail == NULL || r->to[0] == '\0' || (went_well(s) && !r->all))
		return 0;
	duration_of(duration, sizeof duration, s);
	data = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "status", s->state, "type", s->type,
		"duration", duration, "itemsTotal", (json_int_t)s->total, "itemsSynced", (json_int_t)s->synced,
		"itemsChanged", (json_int_t)s->written, "itemsRemoved", (json_int_t)s->removed, "itemsFailed",
		(json_int_t)s->failed, "error", s->error, "syncLogId", s->id);
	o.data = data;
	rc = mail_send_in(p->conf.mail, tx, &o, e);
	json_decref(data);
	if (rc == 0 || (e->code != ERR_OVERLOADED && e->code != ERR_VALIDATION)) /* of these nothing was written */
		return rc;
	log_warn("sync_report_not_sent", log_s("sync_log_id", s->id), log_err(e));
	err_clear(e);
	return 0;
}
