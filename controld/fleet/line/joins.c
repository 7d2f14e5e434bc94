#include "controld/fleet/line/joins.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/seal.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/line/mailbox.h"
#include "controld/fleet/line/refused.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/fleet/node_cert.h"
#include "controld/fleet/node_token.h"
#include "controld/fleet/who.h"
#include "controld/loop/pool.h"
#include "controld/store/store.h"
#include "proto/join.h"

#include <stdlib.h>
#include <string.h>

struct joins {
	struct joins_conf conf;
	struct buf message; /* reused */
	struct joins_stats stats;
};

/* One certificate that is asked for. */
struct wish {
	struct joins *joins;
	struct pool_job job;
	struct letter done;
	void *request;
	struct msg_join join; /* token_id "": a renewal */
	struct msg_renew renew;
	char serial[48];          /* of the certificate that is to be renewed */
	struct msg_joined joined; /* the answer */
	struct err why;           /* or why there is none */
};

int joins_new(struct joins **out, const struct joins_conf *c, struct err *e)
{
	struct joins *j = calloc(1, sizeof *j);

	if (j == NULL)
		return err_set(e, ERR_NOMEM, NULL, "joins: out of memory");
	j->conf = *c;
	buf_init(&j->message, PROTO_MSG_MAX);
	*out = j;
	return 0;
}

void joins_free(struct joins *j)
{
	if (j == NULL)
		return;
	buf_free(&j->message);
	free(j);
}

/* ---- on the worker ----------------------------------------------------------------------------------------------- */

/* Signs the request for this node and writes the certificate down. One that joins has no other to come with. */
static int issue(struct db *tx, struct wish *w, const struct node *node, const char *request_pem, struct err *e)
{
	const bool joins = w->join.token_id[0] != '\0';
	const int64_t now_ms = clock_wall_ms();
	struct ca_issued issued;
	struct node_cert made = { .node_id = node->id, .cert = &issued.cert, .used_ms = joins ? now_ms : 0 };

	if (ca_issue_node(tx, request_pem, node->id, now_ms, w->joins->conf.cert_days, &issued, e) != 0)
		return -1;
	made.ca_step = issued.step;
	if (node_cert_add(tx, &made, now_ms, e) != 0)
		return -1;
	str_copy(w->joined.cert_pem, sizeof w->joined.cert_pem, issued.cert_pem);
	str_copy(w->joined.ca_pem, sizeof w->joined.ca_pem, issued.ca_pem);
	str_copy(w->joined.node_id, sizeof w->joined.node_id, node->id);
	str_copy(w->joined.name, sizeof w->joined.name, node->name);
	return 0;
}

/* A node that is up keeps its name: a token cannot push it out. */
static int check_free(const struct wish *w, const struct node *n, struct err *e)
{
	struct roster_node now;

	if (n->standing != NODE_JOINED || !roster_get(w->joins->conf.roster, n->id, &now) || !now.row.online)
		return 0;
	return err_set(e, ERR_LOCKED, "token", "node '%s' is online from %s; stop that relay, or delete the node first",
		n->name, now.row.address);
}

/* A lost answer is given again only to the machine that the node is now: not to one that was revoked since. */
static bool is_its_join(const struct node *n, const struct node_token *t)
{
	return n->standing == NODE_JOINED && n->joined_ms == t->used_ms;
}

/* The token says which node it is; what the relay calls itself is in its own log, and people would look for that. */
static void note_name(const struct node *n, const struct msg_join *join)
{
	if (!str_eq(join->name, n->name))
		log_warn("node_joins_under_another_name", log_s("node", n->name), log_s("calls_itself", join->name),
			log_s("what_to_do", "set RELAYD_NAME of that relay to the node's name"));
}

static int work_join_tx(struct db *tx, void *arg, struct err *e)
{
	struct wish *w = arg;
	struct node_token token;
	struct node node;
	char actor[64];
	struct who who = { actor, "", clock_wall_ms() };
	bool again;

	if (node_token_check(tx, &w->join, who.now_ms, &token, &again, e) != 0 ||
		node_get(tx, token.node_id, &node, e) != 0)
		return -1;
	str_fmt(actor, sizeof actor, "node:%s", node.id);
	if (again && !is_its_join(&node, &token))
		return err_set(e, ERR_INVALID_TOKEN, "token",
			"node '%s' was revoked, or joined by a later token; it needs a new join token", node.name);
	if (again)
		return issue(tx, w, &node, w->join.request_pem, e);
	note_name(&node, &w->join);
	if (check_free(w, &node, e) != 0 || node_bind(tx, &node, &who, e) != 0 ||
		node_token_use(tx, &token, &w->join, who.now_ms, e) != 0)
		return -1;
	return issue(tx, w, &node, w->join.request_pem, e);
}

/* A certificate that is not written down was made by somebody who has the CA's key, or after the backup that this database is
 * from: it must not lead to others that are good when that CA is trusted no more. */
static int work_renew_tx(struct db *tx, void *arg, struct err *e)
{
	struct wish *w = arg;
	struct node node;
	int rc;

	if (node_get(tx, w->joined.node_id, &node, e) != 0)
		return -1;
	if (node.standing != NODE_JOINED)
		return err_set(
			e, ERR_PERMISSION, NULL, "node '%s' is %s", node.name, node_standing_name(node.standing));
	if ((rc = node_cert_is_good(tx, node.id, w->serial, 0, e)) < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_PERMISSION, NULL,
			"the certificate that node '%s' came with is not one that was given to it; it needs a new join "
			"token before that ends",
			node.name);
	return issue(tx, w, &node, w->renew.request_pem, e);
}

static void work_wish(struct pool_job *job)
{
	struct wish *w = CONTAINER_OF(job, struct wish, job);
	struct store *store = w->joins->conf.store;
	int rc;

	/* Both logged: a node that is being revoked must not get a certificate beside it. */
	rc = store_write(store, STORE_LOGGED, w->join.token_id[0] != '\0' ? work_join_tx : work_renew_tx, w, &w->why);
	if (rc == 0)
		err_clear(&w->why);
	mailbox_post(w->joins->conf.mailbox, &w->done);
}

/* ---- on the fleet thread ----------------------------------------------------------------------------------------- */

static void wish_free(struct wish *w)
{
	seal_wipe(&w->join, sizeof w->join);
	free(w);
}

static void answer(struct joins *j, struct wish *w)
{
	buf_reset(&j->message);
	if (w->why.code == ERR_NONE) {
		msg_joined_encode(&w->joined, &j->message);
	} else {
		j->stats.refused++;
		j->stats.too_many += w->why.code == ERR_RATE_LIMITED;
		log_warn("certificate_refused", log_s("node", w->joined.node_id), log_s("token", w->join.token_id),
			log_err(&w->why));
		refused_encode(&w->why, &j->message);
	}
	j->conf.ops->answer(j->conf.owner, w->request, &j->message);
}

static void on_done(struct letter *l)
{
	struct wish *w = CONTAINER_OF(l, struct wish, done);
	struct joins *j = w->joins;

	if (w->why.code == ERR_NONE && w->join.token_id[0] != '\0') {
		j->stats.joined++;
		j->conf.ops->settled(j->conf.owner);
		log_info("node_joined", log_s("node", w->joined.node_id), log_s("token", w->join.token_id),
			log_s("name_there", w->join.name), log_s("version", w->join.version));
	} else if (w->why.code == ERR_NONE) {
		j->stats.renewed++;
	}
	answer(j, w);
	wish_free(w);
}

static struct wish *wish_new(struct joins *j, void *request)
{
	struct wish *w = calloc(1, sizeof *w);

	if (w == NULL)
		return NULL;
	w->joins = j;
	w->request = request;
	w->job.work = work_wish;
	list_init(&w->job.node);
	letter_init(&w->done, on_done);
	return w;
}

/* The worker's queue is short: a crowd that wants to join is told to come back. */
static void submit(struct joins *j, struct wish *w)
{
	if (pool_submit(j->conf.worker, &w->job) == 0)
		return;
	err_set(&w->why, ERR_OVERLOADED, NULL, "too many relays are joining at once");
	answer(j, w);
	wish_free(w);
}

int joins_join(struct joins *j, const void *p, size_t n, void *request)
{
	struct wish *w = wish_new(j, request);

	if (w == NULL)
		return -1;
	if (msg_join_decode(&w->join, p, n) != 0 || w->join.token_id[0] == '\0') {
		wish_free(w);
		return -1;
	}
	submit(j, w);
	return 0;
}

int joins_renew(struct joins *j, const char *node, const char *serial, const void *p, size_t n, void *request)
{
	struct wish *w = wish_new(j, request);

	if (w == NULL)
		return -1;
	str_copy(w->joined.node_id, sizeof w->joined.node_id, node);
	str_copy(w->serial, sizeof w->serial, serial);
	if (msg_renew_decode(&w->renew, p, n) != 0) {
		wish_free(w);
		return -1;
	}
	submit(j, w);
	return 0;
}

void joins_stats(const struct joins *j, struct joins_stats *out)
{
	*out = j->stats;
}
