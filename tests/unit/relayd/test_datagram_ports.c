/*
 * What becomes of a UDP port's sockets: one that is deleted with sessions on it, and one that several workers share.
 */
#define _GNU_SOURCE
#include "relayd/port/port_socket.h"
#include "tests/unit/relayd/udp_lab.h"

#include <signal.h>

/* A session that works; its source at the target. */
static uint16_t talk(int c)
{
	uint16_t from;

	lab_send(c, "ping", 4);
	from = echo_one();
	expect_datagram(c, "ping", 4);
	return from;
}

static bool port_is_free(void)
{
	struct sockaddr_in a = lab_addr(port);
	int fd = lab_socket(SOCK_DGRAM), rc = bind(fd, (struct sockaddr *)&a, sizeof a);

	close(fd);
	return rc == 0;
}

/* ---- a deleted mapping --------------------------------------------------------------------------------------------- */

static void kept_sessions_go_on_until_they_are_silent(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port), stranger = lab_connect(SOCK_DGRAM, port);
	uint16_t from;

	(void)state;
	conf.on_delete = MAPPING_KEEP;
	conf.idle_timeout_ms = 3500;
	apply();
	from = talk(c);
	lab_change(&lab, "map_u", NULL);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(talk(c), from);
	lab_send(stranger, "late", 4); /* the mapping is gone: nothing new */
	LAB_UNTIL(&lab, counted(METER_dropped_in) == 1);
	assert_int_equal(talk(c), from);
	assert_int_equal(lab_connections(&lab), 1);
	assert_false(port_is_free());
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && port_is_free());
	assert_int_equal(counted(METER_packets_in), 52);
	assert_int_equal(counted(METER_packets_out), 52);
	close(stranger);
	close(c);
}

static void drained_sessions_end_at_their_time(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);
	uint64_t start;

	(void)state;
	conf.on_delete = MAPPING_DRAIN;
	conf.drain_ms = 4000;
	apply();
	talk(c);
	start = clock_mono_ms();
	lab_change(&lab, "map_u", NULL);
	talk(c);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0); /* it was not silent for long: this is the drain's end */
	assert_in_range(clock_mono_ms() - start, 4000, LAB_WAIT_MS);
	LAB_UNTIL(&lab, port_is_free());
	close(c);
}

static void cut_sessions_end_at_once(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	conf.on_delete = MAPPING_CUT;
	apply();
	talk(c);
	lab_change(&lab, "map_u", NULL);
	assert_int_equal(lab_connections(&lab), 0);
	assert_true(port_is_free());
	close(c);
}

static void without_sessions_the_port_is_free_at_once(void **state)
{
	(void)state;
	conf.on_delete = MAPPING_KEEP;
	apply();
	lab_change(&lab, "map_u", NULL);
	assert_true(port_is_free());
}

/* The port number is the new mapping's: what lives by the old one's socket ends. */
static void another_mapping_is_given_the_port(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);
	enum err_code code;
	uint16_t before;

	(void)state;
	conf.on_delete = MAPPING_KEEP;
	apply();
	before = talk(c);
	lab_change(&lab, "map_u", NULL);
	lab_change(&lab, "map_v", &conf);
	assert_null(lab_refusal(&lab, "map_v", &code));
	assert_int_equal(lab_connections(&lab), 0);
	assert_int_not_equal(talk(c), before);
	assert_int_equal(lab_count(&lab, "map_v", METER_packets_in), 1);
	close(c);
}

static void an_end_does_not_wait_for_kept_sessions(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);
	uint64_t start;

	(void)state;
	conf.on_delete = MAPPING_KEEP;
	conf.idle_timeout_ms = 3600000;
	apply();
	talk(c);
	lab_change(&lab, "map_u", NULL);
	start = clock_mono_ms();
	lab.service.ops->quiesce(lab.service.self, false);
	(void)talk_in_time(c, start);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	close(c);
}

/* The relay ends while one is kept. */
static void a_stop_ends_kept_sessions(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	conf.on_delete = MAPPING_KEEP;
	apply();
	talk(c);
	lab_change(&lab, "map_u", NULL);
	assert_int_equal(lab_connections(&lab), 1);
	close(c); /* tear_down counts descriptors */
}

/* ---- a hot port ------------------------------------------------------------------------------------------------------ */

#define CLIENTS 64

/* As port_socket_steer() has the kernel compute it. */
static unsigned member_of(uint16_t client, unsigned n)
{
	return (((INADDR_LOOPBACK ^ client) * UINT32_C(2654435761)) >> 16) % n;
}

struct sessions {
	unsigned n;
	unsigned of_worker[2];
	bool as_steered;
};

static bool note_session(const struct conn_info *info, void *arg)
{
	struct sessions *x = arg;
	unsigned worker = info->id & 0xff;
	struct addr client;

	assert_int_equal(addr_parse(&client, info->remote), 0);
	assert_in_range(worker, 0, 1);
	x->of_worker[worker]++;
	x->n++;
	x->as_steered &= worker == member_of(addr_port(&client), 2);
	return true;
}

static struct sessions sessions_of(struct lab *at)
{
	struct sessions x = { .as_steered = true };

	at->service.ops->list(at->service.self, "map_u", note_session, &x);
	return x;
}

static void a_hot_port_is_shared_by_the_workers(void **state)
{
	uint16_t seen[CLIENTS];
	int c[CLIENTS];
	struct sessions x;

	(void)state;
	conf.hot = true;
	apply();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < CLIENTS; i++) {
			uint16_t from;

			if (round == 0)
				c[i] = lab_connect(SOCK_DGRAM, port);
			from = talk(c[i]);
			if (round == 0)
				seen[i] = from;
			assert_int_equal(from, seen[i]); /* of one client: one session, so one worker */
		}
	}
	x = sessions_of(&lab);
	assert_int_equal(x.n, CLIENTS);
	assert_true(x.of_worker[0] > 0 && x.of_worker[1] > 0);
	assert_true(x.as_steered); /* by the program, not by the kernel's own hash */
	assert_int_equal(counted(METER_packets_in), 3 * CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(c[i]);
}

static void a_hot_port_of_both_families(void **state)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback };
	unsigned workers[2] = { 0, 0 };
	int c[CLIENTS + 1];

	(void)state;
	conf.hot = true;
	conf.bind[0] = '\0';
	apply();
	c[CLIENTS] = lab_connect(SOCK_DGRAM, port);
	talk(c[CLIENTS]);
	for (unsigned i = 0; i < CLIENTS; i++) {
		c[i] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (c[i] < 0 || connect(c[i], (struct sockaddr *)&a, sizeof a) != 0)
			skip(); /* a machine without IPv6 */
		assert_int_equal(talk(c[i]), talk(c[i]));
	}
	for (unsigned w = 0; w < 2; w++)
		workers[w] = sessions_of(&lab).of_worker[w];
	assert_int_equal(workers[0] + workers[1], CLIENTS + 1);
	assert_true(workers[0] > 0 && workers[1] > 0);
	for (unsigned i = 0; i <= CLIENTS; i++)
		close(c[i]);
}

static void a_hot_port_is_handed_over_with_its_sessions(void **state)
{
	static struct handed handed;
	uint16_t seen[CLIENTS];
	int c[CLIENTS];
	struct lab next;
	struct sessions before, after;

	(void)state;
	conf.hot = true;
	apply();
	for (unsigned i = 0; i < CLIENTS; i++)
		seen[i] = talk(c[i] = lab_connect(SOCK_DGRAM, port));
	before = sessions_of(&lab);
	lab_start(&next, datagram_service_new);
	next.fds_before -= 2 * CLIENTS; /* the clients' and the sessions' here, which will be closed */
	handed.n = 0;
	assert_int_equal(lab.service.ops->hand_over(lab.service.self, take, &handed), 0);
	assert_int_equal(handed.n, 2 + CLIENTS);
	for (unsigned i = 0; i < handed.n; i++)
		next.service.ops->adopt(next.service.self, &handed.at[i]);
	lab_change(&next, "map_u", &conf);
	lab.service.ops->quiesce(lab.service.self, true);
	assert_int_equal(lab_connections(&lab), 0);
	after = sessions_of(&next);
	assert_int_equal(after.n, CLIENTS);
	assert_int_equal(after.of_worker[0], before.of_worker[0]);
	assert_true(after.as_steered);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(talk(c[i]), seen[i]); /* the same session, so the same worker */
	assert_int_equal(lab_connections(&next), CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(c[i]);
	lab_stop(&next);
}

/* Three members for two workers: each is served, and none is closed with what waits in it. */
static void a_group_keeps_the_size_that_it_had(void **state)
{
	struct port_socket at = { .protocol = MAPPING_UDP, .bind = "127.0.0.1", .port = port, .group = true };
	struct service_stats stats;
	int c[CLIENTS];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct handover_socket s = { .fd = -1 };

		assert_int_equal(port_socket_open(&s.fd, &at, NULL), 0);
		port_socket_key(s.key, "udp", &at, i);
		if (i == 2)
			port_socket_steer(s.fd, 3);
		lab.service.ops->adopt(lab.service.self, &s);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		lab_send(c[i] = lab_connect(SOCK_DGRAM, port), &i, sizeof i); /* waits for whoever takes over */
	conf.hot = true;
	apply();
	lab.service.ops->stats(lab.service.self, &stats);
	assert_int_equal(stats.ports, 3);
	for (unsigned i = 0; i < CLIENTS; i++)
		echo_one();
	for (unsigned i = 0; i < CLIENTS; i++) {
		expect_datagram(c[i], &i, sizeof i);
		close(c[i]);
	}
	assert_int_equal(lab_connections(&lab), CLIENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_sessions_go_on_until_they_are_silent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(drained_sessions_end_at_their_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cut_sessions_end_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_sessions_the_port_is_free_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_mapping_is_given_the_port, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_end_does_not_wait_for_kept_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stop_ends_kept_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hot_port_is_shared_by_the_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hot_port_of_both_families, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hot_port_is_handed_over_with_its_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_keeps_the_size_that_it_had, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
