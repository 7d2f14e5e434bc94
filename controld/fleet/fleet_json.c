#include "controld/fleet/fleet_json.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "controld/fleet/who.h"
#include "controld/store/changes.h"

#include <stdlib.h>

json_t *fleet_json_time(int64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	if (wall_ms == 0)
		return json_null();
	clock_rfc3339(text, wall_ms);
	return json_string(text);
}

int fleet_json_log(
	struct db *tx, const struct change *c, json_t *object, const struct who *who, int64_t *seq, struct err *e)
{
	struct change row = *c;
	char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
	int rc = -1;

	json_decref(object);
	row.time_ms = who->now_ms;
	row.tenant = "";
	row.actor = who->actor;
	row.request_id = who->request_id;
	row.object = text;
	if (text == NULL)
		err_set(e, ERR_NOMEM, NULL, "change of %s %s: out of memory", c->kind, c->subject);
	else
		rc = changes_append(tx, &row, seq, e);
	free(text);
	return rc;
}
