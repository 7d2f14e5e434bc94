#include "controld/fleet/line/link_server.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/nng/nng_close.h"
#include "common/nng/nng_tls.h"
#include "controld/fleet/line/link_server_room.h"

#include <nng/protocol/reqrep0/rep.h>
#include <stdlib.h>

#define CLOSE_MS 2000 /* nng closes in a few ms, or not at all */

static struct tls_conf tls_of(struct link_server *s, const struct link_server_certs *c)
{
	return (struct tls_conf){
		.server = true,
		.cert_pem = c->cert_pem,
		.key_pem = c->key_pem,
		.ca_pem = c->ca_pem,
		.peer = TLS_PEER_OPTIONAL,
		.min_version = 13,
		.accept_peer = link_peer_admit,
		.arg = s,
	};
}

int link_server_change(struct link_server *s, const struct link_server_certs *certs, struct err *e)
{
	const struct tls_conf tls = tls_of(s, certs);

	return nng_tls_slot_change(s->tls, &tls, e);
}

static int start_listener(struct link_server *s, struct err *e)
{
	const struct tls_conf tls = tls_of(s, &s->conf.certs);
	char url[160];
	int rv, port = 0;

	if (str_fmt(url, sizeof url, "tls+tcp://%s", s->conf.listen) != 0)
		return err_set(e, ERR_VALIDATION, "fleet.listen", "'%s' is too long", s->conf.listen);
	rv = nng_listener_create(&s->listener, s->socket, url);
	if (rv != 0)
		return err_set(
			e, ERR_VALIDATION, "fleet.listen", "cannot listen on %s: %s", s->conf.listen, nng_strerror(rv));
	if (nng_tls_slot_new(&s->tls, &tls, e) != 0 || nng_tls_set_listener_slot(s->listener, s->tls, e) != 0)
		return -1;
	/* A node that vanished and came back has connections that nobody would ever close. */
	nng_listener_set_bool(s->listener, NNG_OPT_TCP_KEEPALIVE, true);
	rv = nng_listener_set_size(s->listener, NNG_OPT_RECVMAXSZ, PROTO_MSG_MAX);
	if (rv == 0)
		rv = nng_listener_start(s->listener, 0);
	if (rv != 0)
		return err_set(e, rv == NNG_EADDRINUSE ? ERR_ADDR_IN_USE : ERR_IO, "fleet.listen",
			"cannot listen on %s: %s", s->conf.listen, nng_strerror(rv));
	nng_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	s->port = (uint16_t)port;
	return 0;
}

int link_server_open(struct link_server **out, const struct link_server_conf *c, struct err *e)
{
	struct link_server *s = calloc(1, sizeof *s);
	int rv;

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "link: out of memory");
	s->conf = *c;
	pthread_mutex_init(&s->lock, NULL);
	map_init(&s->peers);
	list_init(&s->strangers);
	if (nng_tls_register(e) != 0)
		goto fail;
	rv = nng_rep0_open(&s->socket);
	s->open = rv == 0;
	if (rv == 0)
		rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, link_peer_on_add, s);
	if (rv == 0)
		rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, link_peer_on_gone, s);
	if (rv != 0) {
		err_set(e, ERR_INTERNAL, NULL, "link: %s", nng_strerror(rv));
		goto fail;
	}
	if (link_request_add_contexts(s, e) != 0 || start_listener(s, e) != 0)
		goto fail;
	s->conf.certs = (struct link_server_certs){ NULL, NULL, NULL };
	*out = s;
	return 0;
fail:
	(void)link_server_close(s);
	return -1;
}

bool link_server_close(struct link_server *s)
{
	struct link_peer *p;
	size_t it = 0;

	if (s == NULL)
		return true;
	if (s->open && nng_close_within(s->socket, CLOSE_MS) != 0) {
		log_warn("link_left_behind", log_u("after_ms", CLOSE_MS));
		return false;
	}
	nng_tls_slot_shut(s->tls);
	while (s->requests != NULL) {
		struct link_request *rq = s->requests;

		s->requests = rq->next;
		link_request_free(rq);
	}
	while ((p = map_next(&s->peers, &it)) != NULL)
		free(p);
	map_free(&s->peers);
	nng_tls_slot_unref(s->tls);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return true;
}

uint16_t link_server_port(const struct link_server *s)
{
	return s->port;
}

void link_server_stats(struct link_server *s, struct link_server_stats *out)
{
	*out = (struct link_server_stats){
		.contexts = atomic_load(&s->n_contexts),
		.idle = atomic_load(&s->n_idle),
		.refused = atomic_load(&s->refused),
		.expelled = atomic_load(&s->expelled),
		.strangers_refused = atomic_load(&s->strangers_refused),
		.bytes_in = atomic_load(&s->bytes_in),
		.bytes_out = atomic_load(&s->bytes_out),
	};
	pthread_mutex_lock(&s->lock);
	out->peers = map_count(&s->peers);
	out->strangers = s->n_strangers;
	pthread_mutex_unlock(&s->lock);
}
