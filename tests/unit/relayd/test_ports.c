/*
 * Ports of the stream service as the configuration moves them: taken, freed, ranges, budgets, handed over.
 */
#define _GNU_SOURCE
#include "relayd/stream/stream_service.h"
#include "tests/unit/relayd/lab.h"

#include <signal.h>
#include <sys/resource.h>

static struct lab lab;
static int listener;
static uint16_t target;

static int set_up(void **state)
{
	(void)state;
	lab_start(&lab, stream_service_new);
	listener = lab_bound(SOCK_STREAM, &target);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(listener);
	lab_stop(&lab);
	return 0;
}

static void expect_serves(uint16_t port)
{
	int c = lab_connect(SOCK_STREAM, port), s = lab_accept(listener);

	lab_send(c, "ping", 4);
	lab_expect(s, "ping", 4);
	close(s);
	lab_expect_end(c);
	close(c);
}

static bool is_open(uint16_t port)
{
	struct sockaddr_in a = lab_addr(port);
	int fd = lab_socket(SOCK_STREAM), rc = connect(fd, (struct sockaddr *)&a, sizeof a);

	close(fd);
	return rc == 0;
}

static void a_taken_port_is_refused_and_tried_again(void **state)
{
	struct mapping_conf m;
	char want[64];
	uint16_t port;
	int taken = lab_bound(SOCK_STREAM, &port);
	enum err_code code;

	(void)state;
	m = lab_mapping(MAPPING_TCP, port, target);
	lab_change(&lab, "map_a", &m);
	snprintf(want, sizeof want, "address already in use: 127.0.0.1:%u", (unsigned)port);
	assert_string_equal(lab_refusal(&lab, "map_a", &code), want);
	assert_int_equal(code, ERR_ADDR_IN_USE);
	m.port_first = m.port_last = lab_free_port(SOCK_STREAM); /* nothing else is in its way */
	lab_change(&lab, "map_b", &m);
	expect_serves(m.port_first);
	close(taken);
	LAB_UNTIL(&lab, lab_refusal(&lab, "map_a", &code) == NULL);
	expect_serves(port);
}

static void a_refused_mapping_that_goes_away_leaves_nothing(void **state)
{
	struct mapping_conf m;
	uint16_t port;
	int taken = lab_bound(SOCK_STREAM, &port);
	enum err_code code;

	(void)state;
	m = lab_mapping(MAPPING_TCP, port, target);
	lab_change(&lab, "map_a", &m);
	m.enabled = false;
	lab_change(&lab, "map_a", &m);
	assert_null(lab_refusal(&lab, "map_a", &code)); /* suspended: it does not try */
	m.enabled = true;
	lab_change(&lab, "map_a", &m);
	assert_non_null(lab_refusal(&lab, "map_a", &code));
	lab_change(&lab, "map_a", NULL);
	assert_null(lab_refusal(&lab, "map_a", &code));
	close(taken);
	poll(NULL, 0, 1200);
	uv_run(&lab.loop, UV_RUN_NOWAIT);
	assert_false(is_open(port));
}

static void an_address_of_somebody_else_is_refused(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target);
	enum err_code code;

	(void)state;
	str_copy(m.bind, sizeof m.bind, "192.0.2.1");
	lab_change(&lab, "map_a", &m);
	assert_non_null(lab_refusal(&lab, "map_a", &code));
	assert_int_equal(code, ERR_UNAVAILABLE);
}

/* One mapping leaves a port and another takes it, in the order that a change has them. */
static void a_port_moves_from_one_mapping_to_another(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target);
	enum err_code code;

	(void)state;
	lab_change(&lab, "map_b", &m);
	lab_change(&lab, "map_a", &m);
	assert_non_null(lab_refusal(&lab, "map_a", &code));
	lab_change(&lab, "map_b", NULL);
	LAB_UNTIL(&lab, lab_refusal(&lab, "map_a", &code) == NULL);
	expect_serves(m.port_first);
}

static void a_range_counts_up_its_targets(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, 0, 0);
	int second = -1, c, s;

	(void)state;
	do { /* two targets that follow each other */
		if (second >= 0)
			close(second);
		close(listener);
		listener = lab_bound(SOCK_STREAM, &target);
		second = lab_socket(SOCK_STREAM);
	} while (bind(second, (struct sockaddr *)&(struct sockaddr_in[]){ lab_addr((uint16_t)(target + 1)) },
			 sizeof(struct sockaddr_in)) != 0);
	assert_int_equal(listen(second, 8), 0);
	m.port_first = lab_free_port(SOCK_STREAM);
	m.port_last = (uint16_t)(m.port_first + 1);
	m.target_port = target;
	lab_change(&lab, "map_a", &m);
	expect_serves(m.port_first);
	c = lab_connect(SOCK_STREAM, m.port_last);
	s = lab_accept(second);
	close(c);
	close(s);
	close(second);
}

static void every_address_is_both_families(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target);
	struct service_stats stats;
	struct addr a;
	int c, s;

	(void)state;
	m.bind[0] = '\0';
	lab_change(&lab, "map_a", &m);
	lab.service.ops->stats(lab.service.self, &stats);
	assert_int_equal(stats.ports, 1);
	expect_serves(m.port_first);
	assert_int_equal(addr_parse_ip(&a, "::1", m.port_first), 0);
	c = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c < 0 || connect(c, &a.sa, a.len) != 0) {
		close(c); /* a machine without IPv6 */
		return;
	}
	s = lab_accept(listener);
	lab_send(c, "six", 3);
	lab_expect(s, "six", 3);
	close(c);
	close(s);
}

static void a_hot_port_has_a_socket_for_each_worker(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target);
	struct service_stats stats;

	(void)state;
	m.hot = true;
	lab_change(&lab, "map_a", &m);
	lab.service.ops->stats(lab.service.self, &stats);
	assert_int_equal(stats.ports, 2);
	for (unsigned i = 0; i < 50; i++)
		expect_serves(m.port_first);
	m.hot = false;
	lab_change(&lab, "map_a", &m);
	expect_serves(m.port_first);
}

/* ---- budgets ------------------------------------------------------------------------------------------------------ */

static int small_budget(void **state)
{
	(void)state;
	lab_start_with(&lab, stream_service_new, FD_SPARE + 8); /* 7 for ports, 8 in all */
	listener = lab_bound(SOCK_STREAM, &target);
	return 0;
}

static void ports_beyond_the_descriptors_are_off_with_the_reason(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target), other = m;
	enum err_code code;
	char id[16];
	int held[6];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		uint16_t port = lab_free_port(SOCK_STREAM);

		m.port_first = m.port_last = port;
		snprintf(id, sizeof id, "map_%u", i);
		lab_change(&lab, id, &m);
		assert_int_equal(lab_refusal(&lab, id, &code) == NULL, i < 7);
	}
	assert_int_equal(code, ERR_NO_DESCRIPTORS);
	assert_non_null(strstr(lab_refusal(&lab, "map_7", &code), "descriptor"));
	m.port_first = m.port_last = lab_free_port(SOCK_STREAM);
	for (unsigned i = 2; i < 7;
		i++) { /* two ports and room for three connections, of which two are one mapping's share */
		snprintf(id, sizeof id, "map_%u", i);
		lab_change(&lab, id, NULL);
	}
	other.port_first = other.port_last = lab_free_port(SOCK_STREAM);
	lab_change(&lab, "map_1", &other);
	lab_change(&lab, "map_0", &m);
	expect_serves(m.port_first);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	for (unsigned i = 0; i < 3; i++) {
		if (i == 2)
			lab_expect_refused(m.port_first);
		held[2 * i] = lab_connect(SOCK_STREAM, i < 2 ? m.port_first : other.port_first);
		held[2 * i + 1] = lab_accept(listener);
	}
	lab_expect_refused(other.port_first);
	assert_int_equal(lab_count(&lab, "map_0", METER_refused_resource), 1);
	assert_int_equal(lab_count(&lab, "map_1", METER_refused_resource), 1);
	for (unsigned i = 0; i < 6; i++)
		close(held[i]);
}

/* The kernel itself has no descriptor left: accepting pauses, does not spin, and goes on. */
static void without_descriptors_accepting_pauses(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target);
	struct rlimit old, low;
	struct sockaddr_in a;
	uint64_t since;
	int c = lab_socket(SOCK_STREAM), s;

	(void)state;
	lab_change(&lab, "map_a", &m);
	a = lab_addr(m.port_first);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 3; /* below what is open: no new one for anybody */
	since = clock_mono_ms();
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(connect(c, (struct sockaddr *)&a, sizeof a), 0);
	poll(NULL, 0, 350);
	LAB_UNTIL(&lab, lab_count(&lab, "map_a", METER_refused_resource) > 0);
	setrlimit(RLIMIT_NOFILE, &old);
	since = clock_mono_ms() - since;
	s = lab_accept(listener);
	lab_send(c, "still here", 10);
	lab_expect(s, "still here", 10);
	close(c);
	close(s);
	assert_in_range(lab_count(&lab, "map_a", METER_refused_resource), 1, 4 + since / 80); /* each 100 ms */
}

/* ---- handover ----------------------------------------------------------------------------------------------------- */

struct handed {
	struct handover_socket at[8];
	unsigned n;
};

static int take(const struct handover_socket *s, void *arg)
{
	struct handed *h = arg;

	h->at[h->n] = *s;
	h->at[h->n].fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0); /* as SCM_RIGHTS does */
	h->n++;
	return 0;
}

static void listening_sockets_are_handed_over(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), target), other;
	struct handed handed = { .n = 0 };
	uint16_t unused = lab_free_port(SOCK_STREAM);
	struct lab next;
	int waiting, s;

	(void)state;
	other = lab_mapping(MAPPING_TCP, unused, target);
	lab_change(&lab, "map_a", &m);
	lab_change(&lab, "map_b", &other);
	assert_int_equal(lab.service.ops->hand_over(lab.service.self, take, &handed), 0);
	assert_int_equal(handed.n, 2);
	lab.service.ops->quiesce(lab.service.self, true);
	waiting = lab_connect(SOCK_STREAM, m.port_first); /* nobody accepts, nobody refuses */
	lab_start(&next, stream_service_new);
	for (unsigned i = 0; i < handed.n; i++)
		next.service.ops->adopt(next.service.self, &handed.at[i]);
	next.fds_before -= 3; /* these two, and the client below, will be closed */
	lab_change(&next, "map_a", &m);
	s = lab_accept(listener);
	lab_send(waiting, "across", 6);
	lab_expect(s, "across", 6);
	assert_false(is_open(unused)); /* nobody claimed it: closed after the first configuration */
	close(waiting);
	close(s);
	lab_stop(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_taken_port_is_refused_and_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_refused_mapping_that_goes_away_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_of_somebody_else_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_port_moves_from_one_mapping_to_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_range_counts_up_its_targets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_address_is_both_families, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hot_port_has_a_socket_for_each_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			ports_beyond_the_descriptors_are_off_with_the_reason, small_budget, tear_down),
		cmocka_unit_test_setup_teardown(without_descriptors_accepting_pauses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(listening_sockets_are_handed_over, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
