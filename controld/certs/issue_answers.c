/* What relays are to answer the CA: written down, on its way, confirmed by all of them. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/acme/acme_jws.h"
#include "controld/certs/answer.h"
#include "controld/certs/issue.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_LIFE_MS INT64_C(86400000) /* nobody asks later, whatever becomes of the order */
#define LOOK_MS        50
#define GROUPS_MAX     64

const struct acme_challenge *issue_challenge(const struct issue *i, const struct acme_authorization *a)
{
	return i->c.order.challenge == ACME_TLS ? &a->tls : &a->http;
}

/* ---- written down ------------------------------------------------------------------------------------------------ */

static int make_answer(struct issue *i, const struct acme_authorization *a, struct acme_conf *out, struct err *e)
{
	const struct acme_challenge *ch = issue_challenge(i, a);
	uint8_t digest[SHA256_SIZE];
	const int64_t now_ms = clock_wall_ms();

	memset(out, 0, sizeof *out);
	out->type = (uint8_t)i->c.order.challenge;
	out->until_ms = now_ms + ANSWER_LIFE_MS;
	(void)str_copy(out->host, sizeof out->host, a->host);
	if (acme_jws_authorize(out->authorization, sizeof out->authorization, i->account.key, ch->token, e) != 0)
		return -1;
	if (out->type == ACME_HTTP)
		return str_copy(out->token, sizeof out->token, ch->token);
	seal_sha256(out->authorization, strlen(out->authorization), digest);
	return site_cert_challenge(a->host, digest, now_ms, &out->chain, &out->key, e);
}

struct putting {
	const struct issue *i;
	const char *token;
	const struct acme_conf *conf;
	int64_t seq;
};

static int work_put(struct db *tx, void *arg, struct err *e)
{
	struct putting *p = arg;
	const struct answer a = { p->i->c.id, p->i->c.tenant_id, p->token, p->conf };

	if (job_run_save_in(tx, p->i->run, "", e) != 0) /* a worker that was taken for dead answers nothing */
		return -1;
	return answer_put(tx, &a, clock_wall_ms(), &p->seq, e);
}

static int put_answer(struct issue *i, const struct acme_authorization *a, int64_t *seq, struct err *e)
{
	struct acme_conf conf;
	struct putting p = { i, issue_challenge(i, a)->token, &conf, 0 };
	int rc = make_answer(i, a, &conf, e);

	if (rc == 0)
		rc = store_write(i->certs->store, STORE_LOGGED, work_put, &p, e);
	*seq = MAX(*seq, p.seq);
	acme_conf_fini(&conf);
	return rc;
}

/* ---- confirmed --------------------------------------------------------------------------------------------------- */

struct waiting {
	struct issue *i;
	char groups[GROUPS_MAX][PROTO_ID_SIZE];
	size_t n_groups, relays;
	bool too_many;
	char late[ORDER_WAITING_SIZE], told[ORDER_WAITING_SIZE]; /* names by comma: now, and as written down */
};

static int on_group(const char *group_id, void *arg)
{
	struct waiting *w = arg;

	if (w->n_groups == GROUPS_MAX) {
		w->too_many = true;
		return 0;
	}
	return str_copy(w->groups[w->n_groups++], PROTO_ID_SIZE, group_id);
}

static int read_groups(struct waiting *w, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(w->i->certs->store, &db, e) != 0)
		return -1;
	rc = certificate_groups(db, w->i->c.id, on_group, w, e);
	store_read_end(db);
	return rc == 0 && w->too_many
	               ? err_set(e, ERR_TOO_LARGE, NULL, "the names are served by more than %d groups", GROUPS_MAX)
	               : rc;
}

/* Names that find no room are left out; that there are some is what counts. */
static void on_late(const char *name, void *arg)
{
	struct waiting *w = arg;
	const size_t n = strlen(w->late);

	if (n + strlen(name) + 2 <= sizeof w->late)
		(void)str_fmt(w->late + n, sizeof w->late - n, "%s%s", n > 0 ? "," : "", name);
}

static int work_tell(struct db *tx, void *arg, struct err *e)
{
	const struct waiting *w = arg;

	return order_wait(tx, w->i->c.id, w->late, e);
}

static int look(struct waiting *w, int64_t seq, struct err *e)
{
	const struct certs_relays *relays = &w->i->certs->conf.relays;

	w->relays = 0;
	w->late[0] = '\0';
	for (size_t g = 0; g < w->n_groups; g++)
		if (relays->behind(relays->self, w->groups[g], seq, on_late, w, &w->relays, e) != 0)
			return -1;
	if (str_eq(w->late, w->told))
		return 0;
	(void)str_copy(w->told, sizeof w->told, w->late);
	return store_write(w->i->certs->store, STORE_OPERATIONAL, work_tell, w, e);
}

static int too_late(const struct waiting *w, struct err *e)
{
	w->i->late = true;
	if (w->relays == 0)
		return err_set(e, ERR_TIMEOUT, NULL, "no relay is online where the names are served");
	return err_set(e, ERR_TIMEOUT, NULL, "relays have not confirmed in time what they are to answer the CA: %.120s",
		w->late);
}

static int wait_for_relays(struct issue *i, int64_t seq, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + i->certs->conf.relay_wait_ms;
	struct waiting *w = calloc(1, sizeof *w);
	int rc;

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	w->i = i;
	(void)str_copy(w->told, sizeof w->told, i->c.order.waiting);
	rc = read_groups(w, e);
	while (rc == 0 && (rc = look(w, seq, e)) == 0) {
		if (w->relays > 0 && w->late[0] == '\0')
			break;
		if (clock_mono_ms() >= end_ms)
			rc = too_late(w, e);
		else if (job_run_sleep(i->run, LOOK_MS))
			rc = job_run_ended(i->run, e);
	}
	(void)str_copy(i->c.order.waiting, sizeof i->c.order.waiting, w->late);
	free(w);
	return rc;
}

int issue_answers(struct issue *i, const struct acme_authorization *all, size_t n, struct err *e)
{
	int64_t seq = 0;

	for (size_t k = 0; k < n; k++) {
		if (all[k].status != ACME_PENDING)
			continue;
		if (put_answer(i, &all[k], &seq, e) != 0)
			return -1;
	}
	if (seq == 0) /* the CA has seen all names lately */
		return 0;
	job_run_note(i->run, "waiting for relays");
	return wait_for_relays(i, seq, e);
}
