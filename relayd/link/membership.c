#include "relayd/link/membership.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "relayd/link/identity.h"
#include "relayd/link/link.h"
#include "relayd/link/reporter.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS      60000 /* how often the certificate's age is looked at */
#define RETRY_MIN_MS 1000  /* after a refusal that may pass; controld may ask for longer */

enum member_state { MEMBER_OUTSIDE, MEMBER_JOINING, MEMBER_IN };

static const struct sm_state states[] = {
	[MEMBER_OUTSIDE] = { "outside", BIT(MEMBER_JOINING) | BIT(MEMBER_IN) },
	[MEMBER_JOINING] = { "joining", BIT(MEMBER_OUTSIDE) | BIT(MEMBER_IN) },
	[MEMBER_IN] = { "in", BIT(MEMBER_IN) },
};

struct membership {
	struct membership_conf conf;
	struct join_token token;
	struct link *link;
	struct reporter *reporter;
	struct identity now;  /* in use */
	struct identity next; /* JOINING: key and request of the token; else of a renewal */
	int state;
	bool asking; /* an errand of ours is under way or waits: the reporter sends it again until it is answered */
	uv_timer_t timer;
	char trouble[200];
	void (*on_member)(void *arg);
	void *arg;
	bool closing;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

static void membership_move(struct membership *m, enum member_state to)
{
	sm_move(states, &m->state, (int)to);
}

static void on_look(uv_timer_t *t);

static void membership_look_after(struct membership *m, uint64_t ms)
{
	if (!m->closing)
		uv_timer_start(&m->timer, on_look, ms, LOOK_MS);
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static void membership_enter(struct membership *m)
{
	struct link_frame_open credentials;
	int64_t renew_ms = 0, end_ms = 0;

	membership_move(m, MEMBER_IN);
	m->trouble[0] = '\0';
	if (identity_times(&m->now, &renew_ms, &end_ms) != 0 || end_ms < clock_wall_ms())
		log_error("certificate_ended", log_s("node", m->now.node_id),
			log_s("what_to_do", "join again: restart with a new join token for this node"));
	identity_credentials(&m->now, &credentials);
	reporter_drop_errands(m->reporter);
	m->asking = false;
	link_open(m->link, &credentials);
	seal_wipe(&credentials, sizeof credentials);
	membership_look_after(m, LOOK_MS);
	m->on_member(m->arg);
}

/* A certificate that came: kept on disk if the disk will, and used in any case. */
static void membership_take(struct membership *m, const struct msg_joined *joined)
{
	struct err e = { .code = ERR_NONE };
	bool joining = m->state == MEMBER_JOINING;

	if (identity_accept(&m->next, joined, joining ? m->token.ca_fingerprint : NULL, &e) != 0) {
		log_error("certificate_refused", log_err(&e));
		membership_look_after(m, RETRY_MIN_MS);
		return;
	}
	m->now = m->next;
	if (identity_save(&m->now, m->conf.path, m->conf.seal, &e) != 0)
		log_error("identity_not_saved", log_err(&e));
	log_info(
		joining ? "joined" : "certificate_renewed", log_s("node", m->now.node_id), log_s("name", joined->name));
	if (!str_eq(joined->name, m->conf.name))
		log_warn("node_has_another_name", log_s("node", joined->name), log_s("calls_itself", m->conf.name),
			log_s("what_to_do", "set RELAYD_NAME to the node's name, by which controld knows this relay"));
	membership_enter(m);
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static void membership_refused(struct membership *m, const struct msg_refused *no)
{
	bool again = no->retry_ms != 0;

	str_fmt(m->trouble, sizeof m->trouble, "controld refused: %s", no->reason);
	log_error(m->state == MEMBER_JOINING ? "join_refused" : "renewal_refused", log_s("reason", no->reason),
		log_s("code", err_api(err_from_wire(no->code))), log_s("again", again ? "yes" : "no"));
	if (again || m->state == MEMBER_IN) {
		membership_look_after(
			m, (again ? MAX(no->retry_ms, RETRY_MIN_MS) : LOOK_MS) + rand_below(RETRY_MIN_MS));
		return;
	}
	membership_move(m, MEMBER_OUTSIDE);
	if (identity_joined(&m->now))
		membership_enter(m); /* the older certificate may still be good */
}

static void on_answer(void *arg, const void *msg, size_t n)
{
	struct membership *m = arg;
	struct msg_joined joined;
	struct msg_refused no;

	m->asking = false;
	if (msg_joined_decode(&joined, msg, n) == 0) {
		membership_take(m, &joined);
	} else if (msg_refused_decode(&no, msg, n) == 0) {
		membership_refused(m, &no);
	} else {
		log_error("join_answer_unreadable", log_u("bytes", n));
		membership_look_after(m, RETRY_MIN_MS);
	}
}

static void membership_ask(struct membership *m, struct buf *message)
{
	m->asking = true;
	if (reporter_send(m->reporter, message, on_answer, m) == 0)
		return;
	m->asking = false;
	membership_look_after(m, RETRY_MIN_MS);
}

static void membership_ask_to_join(struct membership *m)
{
	struct msg_join join = { .name = "" };
	struct buf b;

	str_copy(join.token_id, sizeof join.token_id, m->token.id);
	str_copy(join.secret, sizeof join.secret, m->token.secret);
	str_copy(join.name, sizeof join.name, m->conf.name);
	str_copy(join.version, sizeof join.version, PORTWAY_VERSION);
	str_copy(join.request_pem, sizeof join.request_pem, m->next.request_pem);
	buf_init(&b, PROTO_JOIN_MAX);
	msg_join_encode(&join, &b);
	seal_wipe(&join, sizeof join);
	membership_ask(m, &b);
}

/* The token names the CA; nothing is sent before the peer has shown that one. */
static void membership_join(struct membership *m)
{
	struct link_frame_open credentials = { .address = "" };
	struct err e = { .code = ERR_NONE };

	if (strcmp(m->next.token_id, m->token.id) != 0) {
		memset(&m->next, 0, sizeof m->next);
		str_copy(m->next.token_id, sizeof m->next.token_id, m->token.id);
		if (identity_make_key(&m->next, m->conf.name, &e) != 0) {
			log_error("key_not_made", log_err(&e));
			str_copy(m->trouble, sizeof m->trouble, e.msg);
			return;
		}
		/* With the older certificate it is kept in memory only: that one must not be lost. */
		if (!identity_joined(&m->now) && identity_save(&m->next, m->conf.path, m->conf.seal, &e) != 0)
			log_error("identity_not_saved", log_err(&e));
	}
	membership_move(m, MEMBER_JOINING);
	str_copy(m->trouble, sizeof m->trouble, "joining");
	str_copy(credentials.ca_fingerprint, sizeof credentials.ca_fingerprint, m->token.ca_fingerprint);
	log_info("joining", log_s("name", m->conf.name), log_s("token", m->token.id));
	link_open(m->link, &credentials);
}

void membership_up(struct membership *m)
{
	if (m->state == MEMBER_JOINING && !m->asking)
		membership_ask_to_join(m);
}

/* ---- renewal ----------------------------------------------------------------------------------------------------- */

void membership_renew(struct membership *m)
{
	struct err e = { .code = ERR_NONE };
	struct msg_renew renew;
	struct buf b;

	if (m->state != MEMBER_IN || m->asking) /* one at a time: the answer must meet the key that it was asked for */
		return;
	m->next = m->now;
	if (identity_make_key(&m->next, m->conf.name, &e) != 0) {
		log_error("key_not_made", log_err(&e));
		return;
	}
	str_copy(renew.request_pem, sizeof renew.request_pem, m->next.request_pem);
	buf_init(&b, PROTO_JOIN_MAX);
	msg_renew_encode(&renew, &b);
	membership_ask(m, &b);
}

static void on_look(uv_timer_t *t)
{
	struct membership *m = t->data;
	int64_t renew_ms, end_ms;

	if (m->state == MEMBER_JOINING) {
		if (!m->asking && link_up(m->link))
			membership_ask_to_join(m);
	} else if (m->state == MEMBER_IN && identity_times(&m->now, &renew_ms, &end_ms) == 0 &&
		   clock_wall_ms() >= renew_ms) {
		membership_renew(m);
	}
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* What is on disk: a member, one that was joining, or nothing. A damaged file is as none, and said. */
static void membership_load(struct membership *m)
{
	struct err e = { .code = ERR_NONE };

	if (identity_load(&m->next, m->conf.path, m->conf.seal, &e) != 0) {
		memset(&m->next, 0, sizeof m->next);
		if (e.code != ERR_NOT_FOUND)
			log_error("identity_unreadable", log_err(&e));
	} else if (identity_joined(&m->next)) {
		m->now = m->next;
	}
}

int membership_new(struct membership **out, uv_loop_t *loop, const struct membership_conf *conf, struct link *link,
	struct reporter *reporter, void (*on_member)(void *arg), void *arg, struct err *e)
{
	struct membership *m = calloc(1, sizeof *m);

	if (m == NULL)
		return err_set(e, ERR_NOMEM, NULL, "membership: out of memory");
	if (conf->token[0] != '\0' && join_token_parse(&m->token, conf->token) != 0) {
		free(m);
		return err_set(e, ERR_VALIDATION, "join.token", "join.token is not a join token");
	}
	m->conf = *conf;
	m->link = link;
	m->reporter = reporter;
	m->on_member = on_member;
	m->arg = arg;
	uv_timer_init(loop, &m->timer);
	m->timer.data = m;
	membership_load(m);
	*out = m;
	return 0;
}

void membership_start(struct membership *m)
{
	bool joined = identity_joined(&m->now);

	if (m->token.id[0] != '\0' && (!joined || strcmp(m->token.id, m->now.token_id) != 0)) {
		membership_join(m);
	} else if (joined) {
		membership_enter(m);
	} else {
		str_copy(m->trouble, sizeof m->trouble, "not joined: no join token (RELAYD_JOIN_TOKEN)");
		log_error("not_joined", log_s("what_to_do", "give RELAYD_JOIN_TOKEN a join token for this node"));
	}
}

static void on_timer_closed(uv_handle_t *h)
{
	struct membership *m = h->data;
	void (*on_closed)(void *arg) = m->on_closed;
	void *arg = m->closed_arg;

	seal_wipe(m, sizeof *m);
	free(m);
	on_closed(arg);
}

void membership_close(struct membership *m, void (*on_closed)(void *arg), void *arg)
{
	if (m->closing)
		return;
	m->closing = true;
	m->on_closed = on_closed;
	m->closed_arg = arg;
	uv_close((uv_handle_t *)&m->timer, on_timer_closed);
}

bool membership_is_member(const struct membership *m)
{
	return m->state == MEMBER_IN;
}

const struct identity *membership_identity(const struct membership *m)
{
	return &m->now;
}

const char *membership_node_id(const struct membership *m)
{
	return m->now.node_id;
}

int64_t membership_ends_ms(const struct membership *m)
{
	int64_t renew_ms, end_ms;

	return identity_joined(&m->now) && identity_times(&m->now, &renew_ms, &end_ms) == 0 ? end_ms : 0;
}

const char *membership_trouble(const struct membership *m)
{
	return m->trouble;
}
