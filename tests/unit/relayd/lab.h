/*
 * lab - a relay's forwarding part in one test process: two workers, a meter, one service, a configuration that the test
 * changes mapping by mapping, and plain sockets for its clients and targets (lab_sockets.h).
 *
 * The test's thread is the control thread. Every wait has a limit of LAB_WAIT_MS.
 */
#ifndef PORTWAY_TESTS_RELAYD_LAB_H
#define PORTWAY_TESTS_RELAYD_LAB_H

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/loop/service.h"
#include "relayd/loop/workers.h"
#include "relayd/meter/meter.h"
#include "tests/unit/relayd/lab_sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct lab {
	uv_loop_t loop;
	struct fd_budget fds;
	struct workers *workers;
	struct meter *meter;
	struct refusals *refusals;
	struct service service;
	struct snapshot *snapshot;
	uint64_t seq;
	char dir[64];
	struct meter_row rows[64]; /* the newest of each slot's allocation */
	size_t n_rows;
	int fds_before;
};

typedef int (*lab_service_fn)(struct service *out, const struct service_env *env, struct err *e);

static inline int lab_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static inline void lab_on_refusals(void *arg)
{
	(void)arg;
}

static inline void lab_start_with(struct lab *lab, lab_service_fn make, uint32_t fd_limit)
{
	struct service_env env = { 0 };

	memset(lab, 0, sizeof *lab);
	assert_int_equal(uv_loop_init(&lab->loop), 0);
	assert_int_equal(uv_loop_close(&lab->loop), 0); /* the first one opens what libuv keeps for the process */
	lab->fds_before = lab_open_fds();
	str_copy(lab->dir, sizeof lab->dir, "/tmp/relayd-lab-XXXXXX");
	assert_non_null(mkdtemp(lab->dir));
	assert_int_equal(uv_loop_init(&lab->loop), 0);
	fd_budget_init(&lab->fds, fd_limit);
	assert_int_equal(workers_new(&lab->workers, 2, &lab->fds, NULL), 0);
	assert_int_equal(meter_open(&lab->meter, lab->dir, 1024, 2, NULL), 0);
	assert_int_equal(refusals_new(&lab->refusals, lab_on_refusals, NULL, NULL), 0);
	assert_int_equal(snapshot_new(&lab->snapshot, NULL), 0);
	env.workers = lab->workers;
	env.fds = &lab->fds;
	env.meter = lab->meter;
	env.refusals = lab->refusals;
	env.loop = &lab->loop;
	assert_int_equal(make(&lab->service, &env, NULL), 0);
	assert_int_equal(workers_start(lab->workers, NULL), 0);
}

static inline void lab_start(struct lab *lab, lab_service_fn make)
{
	lab_start_with(lab, make, 20000);
}

static inline void lab_remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(dir);
}

/* Ends everything and sees that no descriptor is left; the test has closed its own sockets. */
static inline void lab_stop(struct lab *lab)
{
	workers_stop(lab->workers);
	lab->service.ops->stop(lab->service.self);
	uv_run(&lab->loop, UV_RUN_DEFAULT);
	workers_free(lab->workers);
	assert_int_equal(fd_budget_used(&lab->fds), 0);
	snapshot_unref(lab->snapshot);
	refusals_free(lab->refusals);
	meter_close(lab->meter);
	assert_int_equal(uv_loop_close(&lab->loop), 0);
	lab_remove_dir(lab->dir);
	assert_int_equal(lab_open_fds(), lab->fds_before);
}

/* ---- configuration ---------------------------------------------------------------------------------------------- */

/* One change of one mapping; conf NULL: it is gone. */
static inline void lab_change(struct lab *lab, const char *id, const struct mapping_conf *conf)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = lab->snapshot->revision }, m;
	struct buf body, b;
	struct snapshot *next;
	size_t count_at;

	buf_init(&body, 65536);
	buf_init(&b, PROTO_MSG_MAX);
	head.to = head.from;
	head.to.seq = ++lab->seq;
	msg_update_begin(&b, &head, &count_at);
	if (conf != NULL) {
		mapping_conf_encode(conf, &body);
		msg_update_put(&b, OBJECT_MAPPING, id, lab->seq, body.data, body.len);
	} else {
		msg_update_gone(&b, OBJECT_MAPPING, id, lab->seq);
	}
	msg_update_end(&b, count_at, 1);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	assert_int_equal(snapshot_apply(&next, lab->snapshot, &m, NULL), 0);
	lab->service.ops->apply(lab->service.self, lab->snapshot, next);
	snapshot_unref(lab->snapshot);
	lab->snapshot = next;
	buf_free(&body);
	buf_free(&b);
}

/* A mapping of 127.0.0.1:port to 127.0.0.1:target, with no limit. */
static inline struct mapping_conf lab_mapping(uint8_t protocol, uint16_t port, uint16_t target)
{
	struct mapping_conf m = {
		.protocol = protocol,
		.enabled = true,
		.dial_any = true,
		.port_first = port,
		.port_last = port,
		.target_port = target,
		.connect_timeout_ms = 5000,
	};

	str_copy(m.bind, sizeof m.bind, "127.0.0.1");
	str_copy(m.target_host, sizeof m.target_host, "127.0.0.1");
	return m;
}

static inline const char *lab_refusal(struct lab *lab, const char *id, enum err_code *code)
{
	struct node_state state;

	refusals_state(lab->refusals, &state);
	for (uint32_t i = 0; i < state.n; i++) {
		if (str_eq(state.refusals[i].id, id)) {
			*code = (enum err_code)state.refusals[i].code;
			return state.refusals[i].reason;
		}
	}
	*code = ERR_NONE;
	return NULL;
}

/* ---- counters: asked for as controld does ------------------------------------------------------------------------ */

static inline void lab_take_row(struct lab *lab, const struct meter_row *row)
{
	for (size_t i = 0; i < lab->n_rows; i++) {
		if (lab->rows[i].slot == row->slot) {
			lab->rows[i] = *row;
			return;
		}
	}
	assert_true(lab->n_rows < ARRAY_LEN(lab->rows));
	lab->rows[lab->n_rows++] = *row;
}

static inline void lab_collect(struct lab *lab)
{
	struct msg_report head = { .number = 0 };
	struct buf rows;
	uint32_t n;

	buf_init(&rows, PROTO_MSG_MAX);
	while (meter_report_next(lab->meter, 100000, &head, &rows, &n)) {
		struct msg_report_ack ack = { .stored = head.number, .forget = head.last };
		struct cursor it;
		struct meter_row row;

		cursor_init(&it, rows.data, rows.len);
		while (n-- > 0 && msg_report_next(&it, &row))
			lab_take_row(lab, &row);
		str_copy(ack.boot, sizeof ack.boot, head.boot);
		meter_report_acked(lab->meter, &ack);
		buf_reset(&rows);
	}
	buf_free(&rows);
}

static inline uint64_t lab_count(struct lab *lab, const char *id, enum meter_counter c)
{
	uint64_t sum = 0;

	lab_collect(lab);
	for (size_t i = 0; i < lab->n_rows; i++)
		if (str_eq(lab->rows[i].object, id))
			sum += lab->rows[i].value[c];
	return sum;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

/* Runs the control loop until the condition holds. */
#define LAB_UNTIL(lab, condition)                                  \
	do {                                                       \
		uint64_t until_ = clock_mono_ms() + LAB_WAIT_MS;   \
		while (!(condition)) {                             \
			uv_run(&(lab)->loop, UV_RUN_NOWAIT);       \
			poll(NULL, 0, 2);                          \
			if (clock_mono_ms() > until_)              \
				fail_msg("never: %s", #condition); \
		}                                                  \
	} while (0)

static inline uint64_t lab_connections(struct lab *lab)
{
	struct service_stats stats;

	lab->service.ops->stats(lab->service.self, &stats);
	return stats.connections;
}

#endif
