#include "relayd/link/membership.h"

#include "common/base/log.h"
#include "relayd/link/identity.h"
#include "relayd/link/link.h"
#include "relayd/link/link_child.h"
#include "relayd/link/poller.h"
#include "relayd/link/reporter.h"
#include "relayd/loop/child.h"
#include "tests/unit/relayd/fake_controld.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#define TEST_MS 20000

static const uint8_t seal[SEAL_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static char dir[64], identity_path[128];

/* A relay's line without the relay: what uplink.c ties together, with counters of its own. */
struct relay {
	uv_loop_t loop;
	uv_timer_t tick, limit;
	struct link *link;
	struct poller *poller;
	struct reporter *reporter;
	struct membership *membership;
	unsigned members, updates, closing;
	struct ask asked;
	uint64_t rows_left, number; /* of a made-up boot: one row a report */
	bool pending, flushed, flushed_all;
	bool (*until)(struct relay *r, struct fake_controld *f);
	struct fake_controld *f;
	bool timed_out;
};

static void on_up(void *arg)
{
	struct relay *r = arg;

	membership_up(r->membership);
	reporter_up(r->reporter);
	poller_up(r->poller);
}

static void on_down(void *arg, const char *why)
{
	(void)arg, (void)why;
}

static void on_reply(void *arg, enum link_line line, const uint8_t *p, size_t n)
{
	struct relay *r = arg;

	if (line == LINE_POLL)
		poller_reply(r->poller, p, n);
	else
		reporter_reply(r->reporter, p, n);
}

static void on_lost(void *arg, enum link_line line)
{
	struct relay *r = arg;

	if (line == LINE_POLL)
		poller_lost(r->poller);
	else
		reporter_lost(r->reporter);
}

static void on_member(void *arg)
{
	struct relay *r = arg;

	r->members++;
	poller_start(r->poller);
	reporter_start(r->reporter);
}

static void on_fill(void *arg, struct msg_poll *out)
{
	(void)arg, (void)out;
}

static uint64_t on_update(void *arg, const struct msg_update *m)
{
	struct relay *r = arg;

	r->updates++;
	if (m->n_asks == 0)
		return 0;
	r->asked = m->asks[0];
	if (r->asked.kind == ASK_RENEW)
		membership_renew(r->membership);
	return 0;
}

static void on_head(void *arg, struct msg_report *out)
{
	(void)arg, (void)out;
}

static uint32_t agents_here = 1;

static void on_clients(void *arg, struct client_states *out)
{
	static struct client_state here[2 * CLIENT_STATES_MAX + 1];

	(void)arg;
	for (uint32_t i = 0; i < agents_here; i++)
		here[i] = (struct client_state){ .client = "7", .instance = "i", .state = CLIENT_STATE_ONLINE };
	out->n = agents_here;
	out->items = here;
}

static void on_backends(void *arg, struct backend_states *out)
{
	static struct backend_state one = { .pool = "pol_1", .backend = "bck_1", .state = BACKEND_UNHEALTHY };

	(void)arg;
	*out = (struct backend_states){ .told = true, .n = 1, .items = &one };
}

static bool on_rows(void *arg, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows)
{
	struct relay *r = arg;
	struct meter_row row = { .slot = 1, .object = "map_a", .value = { [METER_opened] = 1 } };

	(void)max_bytes;
	if (r->rows_left == 0)
		return false;
	if (!r->pending)
		r->number++;
	r->pending = true;
	str_copy(head->boot, sizeof head->boot, "boot_1");
	head->number = r->number;
	msg_report_row(rows, &row);
	*n_rows = 1;
	return true;
}

static void on_acked(void *arg, const struct msg_report_ack *ack)
{
	struct relay *r = arg;

	if (ack->stored != r->number || !r->pending)
		return;
	r->pending = false;
	r->rows_left--;
}

static void relay_open(struct relay *r, struct fake_controld *f, const char *addresses, const char *token)
{
	static const struct link_events events = { on_up, on_down, on_reply, on_lost };
	static const struct poller_ops poller_ops = { on_fill, on_update };
	static const struct reporter_ops reporter_ops = { on_head, on_clients, on_backends, on_rows, on_acked };
	const struct link_conf conf = { .addresses = addresses,
		.program = "/proc/self/exe",
		.answer_timeout_ms = 1500,
		.connect_timeout_ms = 5000 };
	const struct membership_conf mconf = { .path = identity_path, .token = token, .name = "edge-1", .seal = seal };

	memset(r, 0, sizeof *r);
	r->f = f;
	assert_int_equal(uv_loop_init(&r->loop), 0);
	uv_timer_init(&r->loop, &r->tick);
	uv_timer_init(&r->loop, &r->limit);
	r->tick.data = r->limit.data = r;
	assert_int_equal(link_new(&r->link, &r->loop, &conf, &events, r, NULL), 0);
	assert_int_equal(poller_new(&r->poller, &r->loop, r->link, &poller_ops, r, NULL), 0);
	assert_int_equal(reporter_new(&r->reporter, &r->loop, r->link, &reporter_ops, r, NULL), 0);
	reporter_set_intervals(r->reporter, 100, 50);
	assert_int_equal(membership_new(&r->membership, &r->loop, &mconf, r->link, r->reporter, on_member, r, NULL), 0);
	membership_start(r->membership);
}

static void on_closed(void *arg)
{
	struct relay *r = arg;

	r->closing--;
}

static void relay_close(struct relay *r)
{
	r->closing = 4;
	for (int twice = 0; twice < 2; twice++) {
		membership_close(r->membership, on_closed, r);
		reporter_close(r->reporter, on_closed, r);
		poller_close(r->poller, on_closed, r);
		link_close(r->link, on_closed, r);
	}
	uv_close((uv_handle_t *)&r->tick, NULL);
	uv_close((uv_handle_t *)&r->limit, NULL);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	assert_int_equal(r->closing, 0);
	assert_int_equal(uv_loop_close(&r->loop), 0);
}

static void on_tick(uv_timer_t *t)
{
	struct relay *r = t->data;

	if (r->until(r, r->f))
		uv_stop(&r->loop);
}

static void on_nothing(uv_timer_t *t)
{
	(void)t;
}

static void on_limit(uv_timer_t *t)
{
	struct relay *r = t->data;

	r->timed_out = true;
	uv_stop(&r->loop);
}

static void wait_until(struct relay *r, bool (*until)(struct relay *r, struct fake_controld *f))
{
	r->until = until;
	r->timed_out = false;
	uv_timer_start(&r->tick, on_tick, 0, 5);
	uv_timer_start(&r->limit, on_limit, TEST_MS, 0);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&r->tick);
	uv_timer_stop(&r->limit);
	assert_false(r->timed_out);
}

static const char *address(const struct fake_controld *f)
{
	static char text[64];

	str_fmt(text, sizeof text, "127.0.0.1:%u", f->port);
	return text;
}

/* ---- what is waited for ---------------------------------------------------------------------------------------------- */

static bool in_service(struct relay *r, struct fake_controld *f)
{
	return r->updates >= 2 && fake_get(&f->shared->reports) >= 2;
}

static bool has_joined(struct relay *r, struct fake_controld *f)
{
	return fake_get(&f->shared->joins) > 0 && in_service(r, f);
}

static bool restarted_twice(struct relay *r, struct fake_controld *f)
{
	(void)f;
	return link_restarts(r->link) >= 2;
}

static bool was_refused(struct relay *r, struct fake_controld *f)
{
	(void)f;
	return strstr(membership_trouble(r->membership), "refused") != NULL;
}

static bool clients_told(struct relay *r, struct fake_controld *f)
{
	(void)r;
	return __atomic_load_n(&f->shared->clients, __ATOMIC_SEQ_CST) == 1 &&
	       __atomic_load_n(&f->shared->backends, __ATOMIC_SEQ_CST) == 1;
}

static bool long_list_told(struct relay *r, struct fake_controld *f)
{
	(void)r;
	return __atomic_load_n(&f->shared->clients, __ATOMIC_SEQ_CST) == agents_here;
}

static bool joined_in_the_end(struct relay *r, struct fake_controld *f)
{
	if (fake_get(&f->shared->joins) == 1)
		__atomic_store_n(&f->shared->refuse, 0, __ATOMIC_SEQ_CST);
	return r->members == 1;
}

static bool certified_astray(struct relay *r, struct fake_controld *f)
{
	(void)r;
	return fake_get(&f->shared->renewals) == 1 && fake_get(&f->shared->astray) == 0;
}

static bool connection_lost(struct relay *r, struct fake_controld *f)
{
	(void)f;
	return !link_connected(r->link);
}

static bool asked_once(struct relay *r, struct fake_controld *f)
{
	(void)f;
	return r->asked.id == 7;
}

static bool renewed(struct relay *r, struct fake_controld *f)
{
	return fake_get(&f->shared->renewals) == 1 && r->members == 2 && link_up(r->link);
}

static bool answered(struct relay *r, struct fake_controld *f)
{
	(void)r;
	return fake_get(&f->shared->answers) == 2;
}

static bool has_flushed(struct relay *r, struct fake_controld *f)
{
	(void)f;
	return r->flushed;
}

/* ---- the tests ------------------------------------------------------------------------------------------------------ */

static void joins_once_and_is_known_afterwards(void **state)
{
	struct fake_controld f;
	struct relay r;
	struct stat st;

	(void)state;
	fake_init(&f);
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, has_joined);
	assert_int_equal(fake_get(&f.shared->joins), 1);
	assert_string_equal(f.shared->name, "edge-1");
	assert_string_equal(membership_node_id(r.membership), "node_1");
	assert_true(fake_get(&f.shared->certified) >= 2);
	wait_until(&r, clients_told);
	agents_here = 2 * CLIENT_STATES_MAX + 1; /* in three parts, and what is counted is told meanwhile */
	reporter_hurry(r.reporter);
	wait_until(&r, long_list_told);
	agents_here = 1;
	assert_int_equal(stat(identity_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	relay_close(&r);

	memset(f.shared, 0, sizeof *f.shared);
	relay_open(&r, &f, address(&f), f.token); /* the token is still in its environment */
	wait_until(&r, in_service);
	assert_int_equal(fake_get(&f.shared->joins), 0);
	relay_close(&r);

	relay_open(&r, &f, address(&f), "");
	wait_until(&r, in_service);
	relay_close(&r);
	fake_fini(&f);
}

static void a_foreign_ca_never_gets_the_secret(void **state)
{
	struct fake_controld ours, theirs;
	struct relay r;

	(void)state;
	fake_init(&ours);
	fake_init(&theirs);
	fake_start(&theirs);
	relay_open(&r, &theirs, address(&theirs), ours.token);
	wait_until(&r, restarted_twice);
	assert_int_equal(fake_get(&theirs.shared->joins), 0);
	assert_int_equal(r.members, 0);
	relay_close(&r);
	fake_fini(&theirs);
	fake_fini(&ours);
}

static void refusals_to_join(void **state)
{
	struct fake_controld f;
	struct relay r;

	(void)state;
	fake_init(&f);
	f.shared->refuse = 1;
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, was_refused);
	assert_false(membership_is_member(r.membership));
	assert_int_equal(r.members, 0);
	relay_close(&r);
	fake_fini(&f);
}

static void another_address_when_one_does_not_answer(void **state)
{
	struct fake_controld f, gone;
	struct relay r;
	char both[160];

	(void)state;
	fake_init(&f);
	fake_init(&gone);
	fake_start(&f);
	fake_start(&gone);
	fake_stop(&gone);
	str_fmt(both, sizeof both, "127.0.0.1:%u,127.0.0.1:%u", gone.port, f.port);
	relay_open(&r, &f, both, f.token);
	wait_until(&r, has_joined);
	relay_close(&r);
	fake_fini(&gone);
	fake_fini(&f);
}

static void controld_goes_and_comes_back(void **state)
{
	struct fake_controld f;
	struct relay r;

	(void)state;
	fake_init(&f);
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, has_joined);
	fake_stop(&f);
	wait_until(&r, connection_lost);
	r.updates = 0;
	f.shared->reports = 0;
	fake_start(&f);
	wait_until(&r, in_service);
	assert_int_equal(fake_get(&f.shared->joins), 1);
	relay_close(&r);
	fake_fini(&f);
}

static void a_line_without_answers_is_made_anew(void **state)
{
	struct fake_controld f;
	struct relay r;

	(void)state;
	fake_init(&f);
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, has_joined);
	__atomic_store_n(&f.shared->mute, 1, __ATOMIC_SEQ_CST);
	wait_until(&r, restarted_twice);
	__atomic_store_n(&f.shared->mute, 0, __ATOMIC_SEQ_CST);
	r.updates = 0;
	f.shared->reports = 0;
	wait_until(&r, in_service);
	relay_close(&r);
	fake_fini(&f);
}

static void asks_renewal_answers(void **state)
{
	struct fake_controld f;
	struct msg_answer answer = { .ask = 7 };
	struct relay r;

	(void)state;
	fake_init(&f);
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, has_joined);
	__atomic_store_n(&f.shared->ask, ASK_RENEW, __ATOMIC_SEQ_CST);
	wait_until(&r, asked_once);
	wait_until(&r, renewed);
	for (int i = 0; i < 2; i++) {
		struct buf b;

		buf_init(&b, PROTO_MSG_MAX);
		msg_answer_encode(&answer, &b);
		reporter_send(r.reporter, &b, NULL, NULL);
	}
	wait_until(&r, answered);
	relay_close(&r);
	fake_fini(&f);
}

static void on_flushed(void *arg, bool all)
{
	struct relay *r = arg;

	r->flushed = true;
	r->flushed_all = all;
}

static void the_last_reports_are_waited_for(void **state)
{
	struct fake_controld f;
	struct relay r;
	uint64_t start;

	(void)state;
	fake_init(&f);
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, has_joined);
	r.rows_left = 30;
	reporter_flush(r.reporter, 10000, on_flushed, &r);
	wait_until(&r, has_flushed);
	assert_true(r.flushed_all);
	assert_int_equal(r.rows_left, 0);
	assert_int_equal(f.shared->last_number, 30);
	relay_close(&r);

	relay_open(&r, &f, address(&f), "");
	wait_until(&r, in_service);
	__atomic_store_n(&f.shared->mute, 1, __ATOMIC_SEQ_CST);
	r.rows_left = 1;
	start = clock_mono_ms();
	reporter_flush(r.reporter, 300, on_flushed, &r);
	wait_until(&r, has_flushed);
	assert_false(r.flushed_all);
	assert_true(clock_mono_ms() - start < TEST_MS);
	relay_close(&r);
	fake_fini(&f);
}

static void a_refusal_that_may_pass_is_tried_again(void **state)
{
	struct fake_controld f;
	struct relay r;

	(void)state;
	fake_init(&f);
	f.shared->refuse = 1;
	f.shared->retry_ms = 1;
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, joined_in_the_end);
	assert_int_equal(fake_get(&f.shared->joins), 2);
	relay_close(&r);
	fake_fini(&f);
}

/* An answer that belongs to another request would leave the relay with a certificate that it cannot use. */
static void a_certificate_for_another_key_is_not_taken(void **state)
{
	struct fake_controld f;
	struct relay r;

	(void)state;
	fake_init(&f);
	f.shared->astray = 1;
	fake_start(&f);
	relay_open(&r, &f, address(&f), f.token);
	wait_until(&r, joined_in_the_end);
	assert_int_equal(fake_get(&f.shared->joins), 2);
	__atomic_store_n(&f.shared->astray, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&f.shared->ask, ASK_RENEW, __ATOMIC_SEQ_CST);
	wait_until(&r, asked_once);
	wait_until(&r, certified_astray);
	r.updates = 0;
	f.shared->reports = 0;
	wait_until(&r, in_service);
	assert_int_equal(r.members, 1);
	relay_close(&r);
	relay_open(&r, &f, address(&f), ""); /* and what is on disk is the old one */
	wait_until(&r, in_service);
	relay_close(&r);
	fake_fini(&f);
}

/* The link process of this one: its only child beside the fake controld. */
static pid_t link_process(const struct fake_controld *f)
{
	char path[64], list[256];
	pid_t found = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "r");
	assert_non_null(file);
	if (fgets(list, sizeof list, file) != NULL)
		for (char *save, *p = strtok_r(list, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
			if (atoi(p) != f->pid)
				found = atoi(p);
	fclose(file);
	return found;
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* At any moment: while it starts, connects, joins, carries requests. What is lost is time. */
static void the_link_process_dies_again_and_again(void **state)
{
	int fds;
	struct fake_controld f;
	struct relay r;

	(void)state;
	fake_init(&f);
	fake_start(&f);
	fds = open_fds();
	relay_open(&r, &f, address(&f), f.token);
	for (unsigned i = 0; i < 9; i++) {
		uint64_t until = clock_mono_ms() + i * 17;
		pid_t pid;

		uv_timer_start(&r.tick, on_nothing, 1, 1);
		while (clock_mono_ms() < until || (pid = link_process(&f)) == 0)
			uv_run(&r.loop, UV_RUN_ONCE);
		kill(pid, SIGKILL);
		while (link_process(&f) == pid)
			uv_run(&r.loop, UV_RUN_ONCE);
		if (i % 3 != 2)
			continue;
		r.updates = 0; /* an answer also ends the growing of the back-off */
		f.shared->reports = 0;
		wait_until(&r, in_service);
	}
	assert_true(link_restarts(r.link) >= 9);
	relay_close(&r);
	assert_int_equal(open_fds(), fds);
	fake_fini(&f);
}

static int make_dir(void **state)
{
	(void)state;
	str_copy(dir, sizeof dir, "/tmp/portway-link-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	return str_fmt(identity_path, sizeof identity_path, "%s/identity.sealed", dir);
}

static int drop_dir(void **state)
{
	(void)state;
	unlink(identity_path);
	return rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(joins_once_and_is_known_afterwards),
		TEST(a_foreign_ca_never_gets_the_secret),
		TEST(refusals_to_join),
		TEST(another_address_when_one_does_not_answer),
		TEST(controld_goes_and_comes_back),
		TEST(a_line_without_answers_is_made_anew),
		TEST(asks_renewal_answers),
		TEST(the_last_reports_are_waited_for),
		TEST(a_refusal_that_may_pass_is_tried_again),
		TEST(a_certificate_for_another_key_is_not_taken),
		TEST(the_link_process_dies_again_and_again),
	};

	if (argc == 2 && strcmp(argv[1], LINK_CHILD_WORD) == 0)
		link_child_run(CHILD_FD);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
