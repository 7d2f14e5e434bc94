#include "client/agent/target/agent_session.h"

#include "common/base/err.h"
#include "common/net/allow.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/connector.h"
#include "common/uv/fd_budget.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_on(const struct allow *list, const struct agent_session *s, const struct addr *to)
{
	return allow_has_name(list, s->host, s->port) || allow_has_addr(list, to);
}

/* The agent's own list always; what the mapping may reach is a narrower one. */
static bool may_dial(const struct addr *to, void *arg)
{
	const struct agent_session *s = arg;

	return is_on(sessions_allow(s->all), s, to) && (s->within == NULL || is_on(s->within, s, to));
}

/* The list may have changed while it was connecting. */
static bool take_target(struct agent_session *s, int fd, const struct addr *to)
{
	s->to = *to;
	if (agent_session_is_allowed(s))
		return true;
	close(fd);
	return false;
}

/* What it says of the target itself; a refusal of our own says nothing. */
static void tell_dialled(const struct agent_session *s, const struct err *e)
{
	if (s->kind->type == SOCK_STREAM && (e == NULL || e->code != ERR_DENIED_TARGET))
		s->all->ops->on_dialled(s->all->arg, s->host, s->port, e != NULL ? e->msg : NULL);
}

static void on_dialled(void *arg, int fd, const struct addr *to, const struct err *e)
{
	struct agent_session *s = arg;
	struct err denied = { .code = ERR_NONE };

	s->dial = NULL;
	if (fd >= 0 && take_target(s, fd, to)) {
		tell_dialled(s, NULL);
		s->kind->on_target(s, fd);
		return;
	}
	if (fd >= 0) {
		err_set(&denied, ERR_DENIED_TARGET, NULL, "%s is not on the agent's allow list any more", s->host);
		e = &denied;
	}
	tell_dialled(s, e);
	sessions_note(s->all, e->code == ERR_DENIED_TARGET ? SESSIONS_DENIED : SESSIONS_NOT_REACHED, s->host, s->port,
		e->msg);
	s->kind->end(s, (uint16_t)e->code, e->msg);
}

int agent_session_begin(struct agent_session *s, struct sessions *all, const struct agent_session_kind *kind,
	struct tunnel_link *l, const struct frame_open *o)
{
	const struct connector_conf conf = { .host = o->host,
		.port = o->port,
		.type = kind->type,
		.timeout_ms = sessions_limits(all)->dial_timeout_ms,
		.may = may_dial,
		.denied = "is not on the agent's allow list",
		.on_done = on_dialled,
		.arg = s };

	s->kind = kind;
	s->all = all;
	s->link = l;
	s->port = o->port;
	list_init(&s->in);
	if (!fd_budget_take(l->worker->fds, 1, FD_FOR_SESSIONS))
		return ERR_NO_DESCRIPTORS;
	s->within = NULL;
	if (o->within[0] != '\0' && allow_parse(&s->within, "within", o->within, NULL) != 0) {
		fd_budget_give(l->worker->fds, 1);
		return ERR_DENIED_TARGET;
	}
	s->host = strdup(o->host);
	s->dial = s->host != NULL ? connector_start(l->worker, &conf) : NULL;
	if (s->dial == NULL) {
		free(s->host);
		allow_unref(s->within);
		fd_budget_give(l->worker->fds, 1);
		return ERR_NOMEM;
	}
	sessions_enter(all, s);
	return ERR_NONE;
}

void agent_session_leave(struct agent_session *s)
{
	connector_cancel(s->dial);
	s->dial = NULL;
	fd_budget_give(s->link->worker->fds, 1);
	free(s->host);
	s->host = NULL;
	allow_unref(s->within);
	s->within = NULL;
	sessions_leave(s->all, s);
}

void agent_session_cut(struct agent_session *s, uint16_t code, const char *reason)
{
	s->kind->end(s, code, reason);
}

bool agent_session_is_allowed(const struct agent_session *s)
{
	if (allow_has_name(sessions_allow(s->all), s->host, s->port))
		return true;
	return s->to.len == 0 || allow_has_addr(sessions_allow(s->all), &s->to);
}
