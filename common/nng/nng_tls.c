#include "common/nng/nng_tls.h"

#include "common/base/err.h"
#include "common/nng/nng_handshakes.h"

#include <nng/supplemental/tls/engine.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * nng calls an engine through two tables: one for configurations, one for connections.
 *
 * Its configuration calls can only carry PEM texts. So the tls_ctx is made whole beforehand and handed over sideways:
 * nng_tls_config_alloc() runs config_init() on the calling thread, which picks up the slot with the context that this thread
 * has laid down in `handed`. Nothing else of the configuration interface is used. nng holds a configuration as long as its
 * listener lives; what is in the slot may change, and is what the connections that come then are made with.
 *
 * The way back is the same: nng_pipe_get_bool(NNG_OPT_TLS_VERIFIED) runs conn_verified() on the calling thread, which
 * lays the peer down in `asked`. nng holds the connection's lock there, so nothing in it may call nng.
 */
struct nng_tls_slot {
	atomic_uint refs;
	pthread_mutex_t lock; /* of ctx */
	struct tls_ctx *ctx;
	pthread_rwlock_t door; /* held for reading while the owner is asked whom to let in; of the two below */
	bool (*accept)(const struct cert_info *peer, void *arg);
	void *arg;
	bool shut;
};

struct nng_tls_engine_config {
	struct nng_tls_slot *slot; /* NULL in the default configuration that a dialer or listener is born with */
};

/*
 * nng writes a message in parts: its length (8 bytes), the protocol's header (4), the body; each waits for the one before.
 * As a record, a system call and a wake-up of the peer for every part that is half of what a short message costs. So the
 * first parts are held back, and go out in one record with the part that follows.
 */
#define GATHER_MAX 64
#define RECORD_MAX 16384 /* bytes of a TLS record */

struct gather {
	uint8_t held[GATHER_MAX];
	size_t n;      /* of held */
	uint64_t left; /* of the message that is being written, without its length; 0: between messages */
	bool opened;   /* the greeting of both sides is out */
	bool off;      /* the parts are not what we know: everything goes as it comes */
};

struct nng_tls_engine_conn {
	struct tls_session *session;
	struct nng_tls_slot *slot;
	void *transport; /* nng's, for nng_tls_engine_send() and _recv(); begins with its nng_stream */
	bool up;         /* the handshake is done */
	struct gather gather;
	struct nng_handshake handshake;
};

static _Thread_local struct nng_tls_slot *handed;
static _Thread_local struct cert_info *asked;

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static struct nng_tls_slot *slot_ref(struct nng_tls_slot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void nng_tls_slot_unref(struct nng_tls_slot *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	tls_ctx_unref(s->ctx);
	pthread_rwlock_destroy(&s->door);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* nng may have a handshake of a listener under way when that has been closed. */
static bool slot_accept(const struct cert_info *peer, void *arg)
{
	struct nng_tls_slot *s = arg;
	bool in;

	pthread_rwlock_rdlock(&s->door);
	in = !s->shut && s->accept(peer, s->arg);
	pthread_rwlock_unlock(&s->door);
	return in;
}

/* Its sessions hold the slot, so that it is there as long as they ask. */
static int slot_make_ctx(struct nng_tls_slot *s, struct tls_ctx **out, const struct tls_conf *conf, struct err *e)
{
	struct tls_conf asks = *conf;

	if (conf->accept_peer != NULL) {
		asks.accept_peer = slot_accept;
		asks.arg = s;
	}
	return tls_ctx_new(out, &asks, e);
}

void nng_tls_slot_shut(struct nng_tls_slot *s)
{
	if (s == NULL)
		return;
	pthread_rwlock_wrlock(&s->door);
	s->shut = true;
	pthread_rwlock_unlock(&s->door);
}

int nng_tls_slot_new(struct nng_tls_slot **out, const struct tls_conf *conf, struct err *e)
{
	struct nng_tls_slot *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "TLS: out of memory");
	atomic_init(&s->refs, 1);
	pthread_mutex_init(&s->lock, NULL);
	pthread_rwlock_init(&s->door, NULL);
	s->accept = conf->accept_peer;
	s->arg = conf->arg;
	if (slot_make_ctx(s, &s->ctx, conf, e) != 0) {
		nng_tls_slot_unref(s);
		return -1;
	}
	*out = s;
	return 0;
}

int nng_tls_slot_change(struct nng_tls_slot *s, const struct tls_conf *conf, struct err *e)
{
	struct tls_ctx *next, *before;

	if (slot_make_ctx(s, &next, conf, e) != 0)
		return -1;
	pthread_mutex_lock(&s->lock);
	before = s->ctx;
	s->ctx = next;
	pthread_mutex_unlock(&s->lock);
	tls_ctx_unref(before); /* its sessions hold it as long as they need it */
	return 0;
}

static struct tls_ctx *slot_ctx(struct nng_tls_slot *s)
{
	struct tls_ctx *ctx;

	pthread_mutex_lock(&s->lock);
	ctx = tls_ctx_ref(s->ctx);
	pthread_mutex_unlock(&s->lock);
	return ctx;
}

/* ---- configurations ---------------------------------------------------------------------------------------------- */

static int config_init(struct nng_tls_engine_config *g, nng_tls_mode mode)
{
	(void)mode; /* the context knows */
	g->slot = handed != NULL ? slot_ref(handed) : NULL;
	return 0;
}

static void config_fini(struct nng_tls_engine_config *g)
{
	nng_tls_slot_unref(g->slot);
}

/*
 * nng sets a host and a mode on the default configurations of its own; what is checked stands in our tls_conf alone.
 */
static int config_server(struct nng_tls_engine_config *g, const char *name)
{
	(void)g, (void)name;
	return 0;
}

static int config_auth(struct nng_tls_engine_config *g, nng_tls_auth_mode mode)
{
	(void)g, (void)mode;
	return 0;
}

static int config_ca_chain(struct nng_tls_engine_config *g, const char *pem, const char *crl)
{
	(void)g, (void)pem, (void)crl;
	return NNG_ENOTSUP;
}

static int config_own_cert(struct nng_tls_engine_config *g, const char *cert, const char *key, const char *password)
{
	(void)g, (void)cert, (void)key, (void)password;
	return NNG_ENOTSUP;
}

static int config_version(struct nng_tls_engine_config *g, nng_tls_version min, nng_tls_version max)
{
	(void)g, (void)min, (void)max;
	return NNG_ENOTSUP;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static ssize_t transport_result(int rv, size_t n)
{
	switch (rv) {
	case 0:
		return (ssize_t)n;
	case NNG_EAGAIN:
		return TLS_AGAIN;
	case NNG_ECLOSED:
	case NNG_ECONNSHUT:
		return TLS_CLOSED;
	default:
		return TLS_FAILED;
	}
}

static ssize_t on_transport_send(void *arg, const void *p, size_t n)
{
	int rv = nng_tls_engine_send(arg, p, &n);

	return transport_result(rv, n);
}

static ssize_t on_transport_recv(void *arg, void *p, size_t n)
{
	int rv = nng_tls_engine_recv(arg, p, &n);

	return transport_result(rv, n);
}

/*
 * Never NNG_ECLOSED: nng reads that as "this dialer was closed by its owner" and would not dial again.
 */
static int conn_error(const struct nng_tls_engine_conn *c, ssize_t code)
{
	switch (code) {
	case TLS_AGAIN:
		return NNG_EAGAIN;
	case TLS_CLOSED:
		return NNG_ECONNSHUT;
	case TLS_BAD_PEER:
		return NNG_EPEERAUTH;
	default:
		if (tls_session_untrusted(c->session))
			return NNG_TLS_UNTRUSTED;
		return c->up ? NNG_ECONNRESET : NNG_ECRYPTO;
	}
}

static int conn_init(struct nng_tls_engine_conn *c, void *transport, struct nng_tls_engine_config *g)
{
	const struct tls_io io = { on_transport_send, on_transport_recv, transport };
	struct tls_ctx *ctx;
	int rc;

	if (g->slot == NULL)
		return NNG_ECRYPTO; /* nobody called nng_tls_set_dialer() or _listener() */
	c->transport = transport;
	ctx = slot_ctx(g->slot);
	rc = tls_session_new(&c->session, ctx, &io, NULL);
	tls_ctx_unref(ctx);
	if (rc != 0)
		return NNG_ENOMEM;
	c->slot = slot_ref(g->slot);
	nng_handshake_begin(&c->handshake, transport);
	return 0;
}

static void conn_fini(struct nng_tls_engine_conn *c)
{
	nng_handshake_end(&c->handshake);
	tls_session_free(c->session);
	nng_tls_slot_unref(c->slot);
}

static void conn_close(struct nng_tls_engine_conn *c)
{
	tls_session_shutdown(c->session);
}

static int conn_handshake(struct nng_tls_engine_conn *c)
{
	int rc = tls_session_handshake(c->session);

	c->up = rc == 0;
	if (c->up)
		nng_handshake_done(&c->handshake);
	return rc == 0 ? 0 : conn_error(c, rc);
}

static int conn_recv(struct nng_tls_engine_conn *c, uint8_t *p, size_t *n)
{
	ssize_t got = tls_session_read(c->session, p, *n);

	if (got < 0)
		return conn_error(c, got);
	*n = (size_t)got;
	return 0;
}

static uint64_t read_be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* Whether this part waits for the next one. */
static bool gather_holds(struct gather *g, const uint8_t *p, size_t n)
{
	if (!g->opened || g->off)
		return false;
	if (g->left == 0) {
		g->off = n != 8;
		g->left = g->off ? 0 : read_be64(p);
		if (g->left == 0)
			return false;
	} else if (n >= g->left || g->n + n > sizeof g->held) {
		return false;
	} else {
		g->left -= n;
	}
	memcpy(g->held + g->n, p, n);
	g->n += n;
	return true;
}

/* What was held and as much of this part as one record takes; a record goes whole or not at all. */
static ssize_t write_joined(struct nng_tls_engine_conn *c, const uint8_t *p, size_t n)
{
	struct gather *g = &c->gather;
	uint8_t record[RECORD_MAX];
	ssize_t put;

	n = MIN(n, sizeof record - g->n);
	memcpy(record, g->held, g->n);
	memcpy(record + g->n, p, n);
	put = tls_session_write(c->session, record, g->n + n);
	if (put < 0)
		return put;
	if ((size_t)put <= g->n)
		return TLS_FAILED;
	put -= (ssize_t)g->n;
	g->n = 0;
	return put;
}

static int conn_send(struct nng_tls_engine_conn *c, const uint8_t *p, size_t *n)
{
	struct gather *g = &c->gather;
	ssize_t put;

	if (gather_holds(g, p, *n))
		return 0;
	put = g->n > 0 ? write_joined(c, p, *n) : tls_session_write(c->session, p, *n);
	if (put < 0)
		return conn_error(c, put);
	g->opened = true;
	g->left -= MIN(g->left, (uint64_t)put);
	*n = (size_t)put;
	return 0;
}

static bool conn_verified(struct nng_tls_engine_conn *c)
{
	struct cert_info peer;

	if (tls_session_peer(c->session, &peer) != 0)
		return false;
	if (asked != NULL)
		*asked = peer;
	return true;
}

/* ---- what the programs call -------------------------------------------------------------------------------------- */

/* nng keeps pointers to these; its types want them writable, nobody writes. */
static nng_tls_engine_config_ops config_ops = {
	.size = sizeof(struct nng_tls_engine_config),
	.init = config_init,
	.fini = config_fini,
	.server = config_server,
	.auth = config_auth,
	.ca_chain = config_ca_chain,
	.own_cert = config_own_cert,
	.version = config_version,
};

static nng_tls_engine_conn_ops conn_ops = {
	.size = sizeof(struct nng_tls_engine_conn),
	.init = conn_init,
	.fini = conn_fini,
	.close = conn_close,
	.handshake = conn_handshake,
	.recv = conn_recv,
	.send = conn_send,
	.verified = conn_verified,
};

static const nng_tls_engine engine = {
	.version = NNG_TLS_ENGINE_V1, /* later libraries have another layout and refuse this number */
	.config_ops = &config_ops,
	.conn_ops = &conn_ops,
	.name = "portway",
	.description = "Portway TLS sessions on OpenSSL",
};

static int nng_tls_error(struct err *e, const char *what, int rv)
{
	return err_set(e, ERR_CRYPTO, NULL, "%s: %s", what, nng_strerror(rv));
}

int nng_tls_register(struct err *e)
{
	nng_aio *aio;
	int rv = nng_aio_alloc(&aio, NULL, NULL); /* starts nng, which would install its own engine later otherwise */

	if (rv != 0)
		return nng_tls_error(e, "start nng", rv);
	nng_aio_free(aio);
	rv = nng_tls_engine_register(&engine);
	return rv == 0 ? 0 : nng_tls_error(e, "register the TLS engine", rv);
}

/* Gives nng a configuration that carries the slot; nng takes a reference of its own. */
static int config_make(nng_tls_config **out, struct nng_tls_slot *slot, nng_tls_mode mode, struct err *e)
{
	int rv;

	handed = slot;
	rv = nng_tls_config_alloc(out, mode);
	handed = NULL;
	return rv == 0 ? 0 : nng_tls_error(e, "TLS configuration", rv);
}

int nng_tls_set_dialer(nng_dialer d, const struct tls_conf *conf, struct err *e)
{
	struct nng_tls_slot *slot;
	nng_tls_config *config;
	int rv;

	if (nng_tls_slot_new(&slot, conf, e) != 0)
		return -1;
	rv = config_make(&config, slot, NNG_TLS_MODE_CLIENT, e);
	nng_tls_slot_unref(slot);
	if (rv != 0)
		return -1;
	rv = nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config);
	return rv == 0 ? 0 : nng_tls_error(e, "TLS dialer", rv);
}

int nng_tls_set_listener_slot(nng_listener l, struct nng_tls_slot *slot, struct err *e)
{
	nng_tls_config *config;
	int rv;

	if (config_make(&config, slot, NNG_TLS_MODE_SERVER, e) != 0)
		return -1;
	rv = nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config);
	return rv == 0 ? 0 : nng_tls_error(e, "TLS listener", rv);
}

int nng_tls_set_listener(nng_listener l, const struct tls_conf *conf, struct err *e)
{
	struct nng_tls_slot *slot;
	int rc;

	if (nng_tls_slot_new(&slot, conf, e) != 0)
		return -1;
	rc = nng_tls_set_listener_slot(l, slot, e);
	nng_tls_slot_unref(slot);
	return rc;
}

int nng_tls_peer(nng_pipe p, struct cert_info *out)
{
	bool verified = false;
	int rv;

	asked = out;
	rv = nng_pipe_get_bool(p, NNG_OPT_TLS_VERIFIED, &verified);
	asked = NULL;
	return rv == 0 && verified ? 0 : -1;
}
