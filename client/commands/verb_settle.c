#include "client/commands/verb.h"

#include "client/api/path.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <string.h>
#include <time.h>

#define POLL_MS        100
#define POLL_CAP_MS    1000
#define PATH_BYTES_MAX 1024

static const char *status_of(const json_t *object)
{
	const char *s = json_string_value(json_object_get(object, "status"));

	return s != NULL ? s : "";
}

/* What each relay says: {"edge-1": {"code": ..., "message": ...}}; controld itself speaks as "quota". */
static int complain(const struct verb *v, const json_t *object)
{
	const json_t *errors = json_object_get(object, "error");
	const char *id = json_string_value(json_object_get(object, "id")), *node;
	int rc = EXIT_BAD_NEWS;
	json_t *why;

	json_object_foreach((json_t *)errors, node, why)
	{
		const char *message = json_string_value(json_object_get(why, "message"));

		const bool own = strcmp(node, "quota") == 0;

		if (own)
			rc = EXIT_LIMIT;
		text_printf(stderr, "%s: %s%s%s: %s", v->in->who, id != NULL ? id : "?", own ? "" : " on node ",
			own ? "" : node, message != NULL ? message : "refused");
		(void)fputc('\n', stderr);
	}
	return rc;
}

static void pause_ms(uint64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&t, NULL);
}

int verb_settle(struct verb *v, json_t **object, uint64_t timeout_ms)
{
	const uint64_t end = clock_mono_ms() + timeout_ms;
	const char *id = json_string_value(json_object_get(*object, v->resource->id));
	struct http_answer answer;
	struct buf path;
	int rc = EXIT_DONE;

	buf_init(&path, PATH_BYTES_MAX);
	verb_path(&path, v, id != NULL ? id : "");
	for (unsigned i = 0; strcmp(status_of(*object), "pending") == 0 && rc == EXIT_DONE; i++) {
		if (clock_mono_ms() >= end) {
			failure_set(&v->f, EXIT_BAD_NEWS, "%s is still pending: no relay has it yet", id);
			rc = verb_fail(v);
			break;
		}
		pause_ms(POLL_MS + rand_backoff_ms(i, POLL_MS, POLL_CAP_MS));
		if (api_get(v->api, buf_cstr(&path), &answer, &v->f) != 0) {
			rc = verb_fail(v);
			break;
		}
		json_decref(*object);
		*object = json_incref(answer.body);
		id = json_string_value(json_object_get(*object, v->resource->id));
		http_answer_fini(&answer);
	}
	buf_free(&path);
	return rc == EXIT_DONE && strcmp(status_of(*object), "error") == 0 ? complain(v, *object) : rc;
}
