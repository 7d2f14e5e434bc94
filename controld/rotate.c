#include "controld/rotate.h"

#include "common/base/clock.h"
#include "controld/certs/certificate.h"
#include "controld/device_login/device_login.h"
#include "controld/jobs/jobs.h"
#include "controld/notify/notify.h"
#include "controld/platform/setting.h"
#include "controld/rest/idempotency.h"
#include "controld/store/changes.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"

static const size_t one = 1, two = 2;

_Static_assert(ACCOUNT_SEALED_N == 2 && GAME_SESSION_SEALED_N == 2, "as `two` says");

static const struct {
	const struct sealed_column *all;
	const size_t *n;
} rooms[] = {
	{ &secrets_sealed, &one },
	{ &idempotency_sealed, &one },
	{ &setting_sealed, &one },
	{ &job_sealed, &one },
	{ webhook_sealed, &webhook_sealed_n },
	{ certificate_sealed, &certificate_sealed_n },
	{ account_sealed, &two },
	{ game_session_sealed, &two },
};

const struct sealed_column *rotate_column(size_t i)
{
	for (size_t room = 0; room < ARRAY_LEN(rooms); room++) {
		if (i < *rooms[room].n)
			return &rooms[room].all[i];
		i -= *rooms[room].n;
	}
	return NULL;
}

static int work_note(struct db *tx, void *arg, struct err *e)
{
	const struct change c = { .time_ms = clock_wall_ms(),
		.actor = "system",
		.kind = "master_key",
		.op = "rotate",
		.subject = "master_key" };

	(void)arg;
	return changes_append(tx, &c, NULL, e);
}

int rotate_all(struct store *s, uint64_t *n, struct err *e)
{
	const struct sealed_column *c;

	*n = 0;
	for (size_t i = 0; (c = rotate_column(i)) != NULL; i++)
		if (reseal_column(s, c, n, e) != 0)
			return -1;
	return *n > 0 ? store_write(s, STORE_LOGGED, work_note, NULL, e) : 0;
}
