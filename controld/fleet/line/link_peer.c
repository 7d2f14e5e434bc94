#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/nng/nng_handshakes.h"
#include "common/nng/nng_tls.h"
#include "controld/fleet/line/link_server_room.h"
#include "controld/fleet/line/source.h"

#include <stdlib.h>
#include <string.h>

/* The connections of a link server: nodes and strangers, who comes in, who is closed. */

bool link_peer_admit(const struct cert_info *cert, void *arg)
{
	struct link_server *s = arg;

	return s->conf.ops->admit(s->conf.owner, cert);
}

struct link_peer *link_peer_find(struct link_server *s, uint32_t id)
{
	struct link_peer *p;

	pthread_mutex_lock(&s->lock);
	p = map_get(&s->peers, &id, sizeof id);
	pthread_mutex_unlock(&s->lock);
	return p;
}

static void peer_forget(struct link_peer *p)
{
	struct link_server *s = p->server;

	pthread_mutex_lock(&s->lock);
	map_remove(&s->peers, &p->id, sizeof p->id);
	if (p->node[0] == '\0') {
		list_remove(&p->stranger);
		s->n_strangers--;
	}
	pthread_mutex_unlock(&s->lock);
	free(p);
}

/* The requests it has open are told first; ending one is up to its holder. */
static void on_gone(struct letter *l)
{
	struct link_peer *p = CONTAINER_OF(l, struct link_peer, gone);
	struct link_server *s = p->server;
	struct list held;

	list_init(&held);
	list_splice(&held, &p->held);
	LIST_FOREACH (it, &held)
		CONTAINER_OF(it, struct link_request, of_peer)->peer = NULL;
	while (!list_empty(&held)) {
		struct link_request *rq = CONTAINER_OF(list_first(&held), struct link_request, of_peer);

		list_remove(&rq->of_peer);
		s->conf.ops->on_lost(s->conf.owner, rq);
	}
	peer_forget(p);
}

static void read_address(struct addr *out, nng_pipe pipe)
{
	nng_sockaddr sa;

	*out = (struct addr){ .len = 0 };
	if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) != 0)
		return;
	if (sa.s_family == NNG_AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = sa.s_in.sa_port };

		in.sin_addr.s_addr = sa.s_in.sa_addr;
		addr_from_sockaddr(out, (const struct sockaddr *)&in, sizeof in);
	} else if (sa.s_family == NNG_AF_INET6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = sa.s_in6.sa_port };

		memcpy(&in6.sin6_addr, sa.s_in6.sa_addr, sizeof in6.sin6_addr);
		addr_from_sockaddr(out, (const struct sockaddr *)&in6, sizeof in6);
	}
}

/* With the lock. Strangers who say nothing take the places of those who want to join: no address gets all of them. */
static bool has_share(struct link_server *s, const struct link_peer *p)
{
	const struct source from = source_of(&p->from);
	const size_t share = source_is_here(&p->from) ? s->conf.strangers_here : s->conf.strangers_per_source;
	size_t n = 0;

	LIST_FOREACH (it, &s->strangers) {
		const struct source other = source_of(&CONTAINER_OF(it, struct link_peer, stranger)->from);

		n += memcmp(&other, &from, sizeof from) == 0;
	}
	if (n < share)
		return true;
	atomic_fetch_add(&s->strangers_refused, 1);
	return false;
}

/* Whether there is room for it; takes the place. */
static bool peer_enter(struct link_server *s, struct link_peer *p)
{
	bool stranger = p->node[0] == '\0';
	bool entered;

	pthread_mutex_lock(&s->lock);
	entered = map_count(&s->peers) < s->conf.peers_max &&
	          (!stranger || (s->n_strangers < s->conf.strangers_max && has_share(s, p))) &&
	          map_put(&s->peers, &p->id, sizeof p->id, p, NULL) == 0;
	if (entered && stranger) {
		list_push_back(&s->strangers, &p->stranger);
		s->n_strangers++;
	}
	pthread_mutex_unlock(&s->lock);
	return entered;
}

/* Looked at a second time here: a node may have been revoked during the handshake. */
void link_peer_on_add(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
	struct link_server *s = arg;
	struct link_peer *p = calloc(1, sizeof *p);
	struct cert_info cert;

	(void)ev;
	if (p == NULL)
		goto refuse;
	p->server = s;
	p->pipe = pipe;
	p->id = (uint32_t)nng_pipe_id(pipe);
	p->since_ms = clock_mono_ms();
	list_init(&p->held);
	list_init(&p->stranger);
	letter_init(&p->gone, on_gone);
	read_address(&p->from, pipe);
	if (nng_tls_peer(pipe, &cert) == 0) {
		if (!s->conf.ops->admit(s->conf.owner, &cert) || str_copy(p->node, sizeof p->node, cert.cn) != 0 ||
			str_copy(p->serial, sizeof p->serial, cert.serial) != 0 || p->node[0] == '\0')
			goto refuse;
	}
	if (peer_enter(s, p))
		return;
refuse:
	free(p);
	atomic_fetch_add(&s->refused, 1);
	nng_pipe_close(pipe);
}

void link_peer_on_gone(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
	struct link_server *s = arg;
	struct link_peer *p = link_peer_find(s, (uint32_t)nng_pipe_id(pipe));

	(void)ev;
	if (p != NULL) /* else it was refused */
		mailbox_post(s->conf.mailbox, &p->gone);
}

/* Pipes of peers that `pick` chooses are closed without the lock: closing one runs link_peer_on_gone(). */
static void close_peers(
	struct link_server *s, bool (*pick)(const struct link_peer *p, const void *arg), const void *arg)
{
	struct link_peer *p;
	nng_pipe *pipes;
	size_t it = 0, n = 0;

	pthread_mutex_lock(&s->lock);
	pipes = calloc(map_count(&s->peers) + 1, sizeof *pipes);
	while (pipes != NULL && (p = map_next(&s->peers, &it)) != NULL)
		if (pick(p, arg))
			pipes[n++] = p->pipe;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		nng_pipe_close(pipes[i]);
	free(pipes);
}

static bool is_of_node(const struct link_peer *p, const void *arg)
{
	return strcmp(p->node, arg) == 0;
}

void link_server_close_node(struct link_server *s, const char *node)
{
	close_peers(s, is_of_node, node);
}

static bool is_by_cert(const struct link_peer *p, const void *arg)
{
	const struct link_server_node *cert = arg;

	return strcmp(p->node, cert->id) == 0 && strcmp(p->serial, cert->serial) == 0;
}

void link_server_close_cert(struct link_server *s, const struct link_server_node *cert)
{
	close_peers(s, is_by_cert, cert);
}

int link_server_nodes(struct link_server *s, struct link_server_node **out, size_t *n, struct err *e)
{
	struct link_server_node *list;
	const struct link_peer *p;
	size_t it = 0;

	*n = 0;
	pthread_mutex_lock(&s->lock);
	list = calloc(map_count(&s->peers) + 1, sizeof *list);
	while (list != NULL && (p = map_next(&s->peers, &it)) != NULL) {
		if (p->node[0] == '\0')
			continue;
		memcpy(list[*n].id, p->node, sizeof list[0].id);
		memcpy(list[(*n)++].serial, p->serial, sizeof list[0].serial);
	}
	pthread_mutex_unlock(&s->lock);
	*out = list;
	return list != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "link: out of memory");
}

static bool is_late_stranger(const struct link_peer *p, const void *arg)
{
	return p->node[0] == '\0' && p->since_ms <= *(const uint64_t *)arg;
}

void link_server_tick(struct link_server *s, uint64_t now_ms)
{
	const uint64_t before = now_ms - s->conf.stranger_ms;
	size_t strangers;

	atomic_fetch_add(&s->refused, nng_handshakes_shed(before, s->conf.handshakes_max));
	pthread_mutex_lock(&s->lock);
	strangers = s->n_strangers;
	pthread_mutex_unlock(&s->lock);
	if (strangers > 0)
		close_peers(s, is_late_stranger, &before);
}
