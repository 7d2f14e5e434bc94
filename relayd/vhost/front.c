#include "relayd/vhost/front.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/uv/fd_budget.h"
#include "proto/mapping_conf.h"
#include "relayd/limit/source_table.h"
#include "relayd/loop/workers.h"
#include "relayd/port/adopted.h"
#include "relayd/port/port_socket.h"
#include "relayd/vhost/vhost.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_FRONT "front" /* begins the key of a socket at a handover */

struct front {
	struct front_conf conf;
	struct service_env env;
	struct addr at[FRONT_LISTEN_MAX];
	unsigned n_at;                /* 0: off */
	struct front_sockets sockets; /* n_at of them, or none */
	bool quiet, failing;          /* what is wrong is logged once */
	struct adopted *adopted;      /* NULL: nothing */
	struct source_table *sources;
	struct host_map claims;
	struct front_seat *seats; /* by worker */
};

struct front_claim {
	struct vhost names; /* what it has in front.claims */
	char mapping[PROTO_ID_SIZE];
};

int front_parse_listen(const char *list, struct addr out[FRONT_LISTEN_MAX], unsigned *n)
{
	char one[ADDR_STRLEN + 16];

	*n = 0;
	if (str_eq(list, "off"))
		return 0;
	for (;;) {
		size_t len = strcspn(list, ",");

		if (*n == FRONT_LISTEN_MAX || str_fmt(one, sizeof one, "%.*s", (int)len, list) != 0 ||
			addr_parse(&out[*n], one) != 0 || addr_port(&out[*n]) == 0)
			return -1;
		(*n)++;
		if (list[len] == '\0')
			return 0;
		list += len + 1;
	}
}

uint16_t front_port(const struct front *f)
{
	if (f->n_at == 0)
		return 0;
	return f->conf.port != 0 ? f->conf.port : addr_port(&f->at[0]);
}

struct front_seat *front_seat(struct front *f, const struct worker *w)
{
	return &f->seats[w->index];
}

/* ---- listening ---------------------------------------------------------------------------------------------------- */

/* "::" is every address of both families, as people expect of a web server. */
static struct port_socket socket_at(const struct addr *a, char ip[ADDR_STRLEN])
{
	addr_print_ip(a, ip);
	return (struct port_socket){
		.protocol = MAPPING_TCP, .bind = str_eq(ip, "::") ? "" : ip, .port = addr_port(a)
	};
}

static void key_of(const struct front *f, unsigned i, char key[PORT_SOCKET_KEY])
{
	char ip[ADDR_STRLEN];
	const struct port_socket s = socket_at(&f->at[i], ip);

	port_socket_key(key, KEY_FRONT, &s, 0);
}

static void close_sockets(struct front *f)
{
	for (unsigned i = 0; i < f->sockets.n; i++)
		close(f->sockets.fds[i]);
	fd_budget_give(f->env.fds, f->sockets.n);
	f->sockets.n = 0;
}

static int open_one(struct front *f, unsigned i, struct err *e)
{
	char key[PORT_SOCKET_KEY], ip[ADDR_STRLEN];
	const struct port_socket s = socket_at(&f->at[i], ip);

	key_of(f, i, key);
	f->sockets.fds[i] = f->adopted != NULL ? adopted_claim(f->adopted, key) : -1;
	if (f->sockets.fds[i] < 0 && port_socket_open(&f->sockets.fds[i], &s, e) != 0)
		return -1;
	port_socket_await_bytes(f->sockets.fds[i]);
	return 0;
}

static int open_sockets(struct front *f, struct err *e)
{
	if (!fd_budget_take(f->env.fds, f->n_at, FD_FOR_PORTS))
		return err_set(e, ERR_NO_DESCRIPTORS, NULL, "no descriptor left for %s.listen", f->conf.name);
	for (f->sockets.n = 0; f->sockets.n < f->n_at; f->sockets.n++) {
		if (open_one(f, f->sockets.n, e) != 0) {
			fd_budget_give(f->env.fds, f->n_at - f->sockets.n);
			close_sockets(f);
			return -1;
		}
	}
	return 0;
}

static void work_listen(struct worker *w, void *arg)
{
	if (front_seat_listen(front_seat(arg, w)) != 0)
		log_error("front_not_listening", log_u("worker", w->index), log_s("reason", "out of memory"));
}

void front_listen(struct front *f)
{
	if (f->sockets.n > 0)
		workers_call(f->env.workers, work_listen, f);
}

static void work_quiesce(struct worker *w, void *arg)
{
	front_seat_quiesce(front_seat(arg, w));
}

int front_open(struct front *f, struct err *e)
{
	struct err why = { .code = ERR_NONE };

	if (f->n_at == 0)
		return err_set(e, ERR_UNAVAILABLE, "protocol", "this relay has no %s port: %s.listen is off",
			f->conf.name, f->conf.name);
	if (f->sockets.n > 0 || f->quiet)
		return 0;
	if (open_sockets(f, &why) == 0) {
		log_info("front_listening", log_s("protocol", f->conf.name), log_s("listen", f->conf.listen));
		adopted_free(f->adopted);
		f->adopted = NULL;
		f->failing = false;
		return 0;
	}
	if (!f->failing)
		log_error("front_not_listening", log_s("protocol", f->conf.name), log_err(&why));
	f->failing = true;
	return err_set(e, why.code == ERR_ADDR_IN_USE ? ERR_UNAVAILABLE : why.code, "protocol", "%s.listen: %s",
		f->conf.name, why.msg);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

int front_claim(struct front *f, const struct mapping_hosts *hosts, const char *mapping, struct front_claim **out,
	struct err *e)
{
	struct front_claim *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "out of memory for host names");
	vhost_init(&c->names, NULL);
	str_copy(c->mapping, sizeof c->mapping, mapping);
	for (uint32_t i = 0; i < hosts->n; i++) {
		const struct vhost *held = host_map_holder(&f->claims, hosts->items[i]);

		if (held != NULL && held != &c->names) {
			err_set(e, ERR_ADDR_IN_USE, "host_names", "host name already in use: %s", hosts->items[i]);
			front_release(f, c);
			return -1;
		}
		if (host_map_add(&f->claims, hosts->items[i], &c->names) != 0) {
			front_release(f, c);
			return err_set(e, ERR_NOMEM, NULL, "out of memory for host names");
		}
	}
	*out = c;
	return 0;
}

void front_release(struct front *f, struct front_claim *c)
{
	if (c == NULL)
		return;
	host_map_leave(&f->claims, &c->names);
	free(c);
}

/* ---- the end, and who comes after --------------------------------------------------------------------------------- */

void front_quiesce(struct front *f)
{
	f->quiet = true;
	workers_call(f->env.workers, work_quiesce, f);
	close_sockets(f);
}

static void work_cut(struct worker *w, void *arg)
{
	front_seat_cut(front_seat(arg, w));
}

void front_cut(struct front *f)
{
	workers_call(f->env.workers, work_cut, f);
}

int front_hand_over(struct front *f, handover_fn fn, void *arg)
{
	int rc = 0;

	for (unsigned i = 0; i < f->sockets.n && rc == 0; i++) {
		struct handover_socket out = { .fd = f->sockets.fds[i] };

		key_of(f, i, out.key);
		rc = fn(&out, arg);
	}
	return rc;
}

void front_adopt(struct front *f, const struct handover_socket *s)
{
	if (f->n_at > 0 && (f->adopted != NULL || adopted_new(&f->adopted) == 0))
		adopted_add(f->adopted, s);
	else
		close(s->fd);
}

void front_counts(const struct front *f, struct front_counts *out)
{
	*out = (struct front_counts){ .waiting = 0 };
	for (unsigned i = 0; i < f->conf.workers; i++) {
		const struct front_counts *c = &f->seats[i].counts;

		out->waiting += __atomic_load_n(&c->waiting, __ATOMIC_RELAXED);
		for (unsigned k = 0; k < FRONT_COUNTERS_N; k++)
			out->value[k] += __atomic_load_n(&c->value[k], __ATOMIC_RELAXED);
	}
}

void front_stats(const struct front *f, struct service_stats *sum)
{
	struct front_counts c;

	front_counts(f, &c);
	sum->connections += c.waiting;
	sum->ports += f->sockets.n;
	sum->fds += f->sockets.n + c.waiting;
}

/* ---- made, freed -------------------------------------------------------------------------------------------------- */

int front_new(struct front **out, const struct front_conf *conf, const struct service_env *env, struct err *e)
{
	struct front *f = calloc(1, sizeof *f);

	if (f == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s.listen: out of memory", conf->name);
	f->conf = *conf;
	f->env = *env;
	host_map_init(&f->claims);
	if (front_parse_listen(conf->listen, f->at, &f->n_at) != 0) {
		err_set(e, ERR_VALIDATION, NULL, "%s.listen: '%s' is not address:port", conf->name, conf->listen);
		goto fail;
	}
	f->seats = calloc(conf->workers, sizeof *f->seats);
	if (f->seats == NULL || (conf->waiting_per_source != 0 && source_table_new(&f->sources) != 0)) {
		err_set(e, ERR_NOMEM, NULL, "%s.listen: out of memory", conf->name);
		goto fail;
	}
	for (unsigned i = 0; i < conf->workers; i++) {
		front_seat_init(&f->seats[i], workers_at(env->workers, i), &f->conf, f->sources);
		f->seats[i].sockets = &f->sockets;
	}
	*out = f;
	return 0;
fail:
	front_free(f);
	return -1;
}

void front_stop(struct front *f)
{
	front_quiesce(f);
	front_cut(f);
	for (unsigned i = 0; i < f->conf.workers; i++)
		worker_bury_all(f->seats[i].worker);
}

void front_free(struct front *f)
{
	if (f == NULL)
		return;
	for (unsigned i = 0; f->seats != NULL && i < f->conf.workers; i++)
		front_seat_fini(&f->seats[i]);
	free(f->seats);
	source_table_free(f->sources);
	adopted_free(f->adopted);
	host_map_fini(&f->claims);
	free(f);
}
