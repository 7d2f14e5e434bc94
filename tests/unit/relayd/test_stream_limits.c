/*
 * Each limit of a TCP mapping biting, each refusal counted by its reason, and changes that hold for live connections.
 */
#define _GNU_SOURCE
#include "common/net/proxy_protocol.h"
#include "relayd/stream/stream_service.h"
#include "tests/unit/relayd/lab.h"

#include <signal.h>

static struct lab lab;
static int listener;
static uint16_t target, port;
static struct mapping_conf conf;

static int set_up(void **state)
{
	(void)state;
	lab_start(&lab, stream_service_new);
	listener = lab_bound(SOCK_STREAM, &target);
	port = lab_free_port(SOCK_STREAM);
	conf = lab_mapping(MAPPING_TCP, port, target);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(listener);
	lab_stop(&lab);
	return 0;
}

static void apply(void)
{
	lab_change(&lab, "map_a", &conf);
}

static uint64_t counted(enum meter_counter c)
{
	return lab_count(&lab, "map_a", c);
}

static void open_pair(int *client, int *server)
{
	*client = lab_connect(SOCK_STREAM, port);
	*server = lab_accept(listener);
}

static void expect_works(int client, int server)
{
	lab_send(client, "ping", 4);
	lab_expect(server, "ping", 4);
	lab_send(server, "pong", 4);
	lab_expect(client, "pong", 4);
}

static void expect_refused(void)
{
	lab_expect_refused(port);
}

/* The next connection is refused, or comes through to the target and is closed there. */
static bool next_is_refused(void)
{
	struct sockaddr_in a = lab_addr(port);
	int client = lab_socket(SOCK_STREAM);
	bool refused = connect(client, (struct sockaddr *)&a, sizeof a) != 0;
	struct pollfd p[] = { { .fd = client, .events = POLLIN }, { .fd = listener, .events = POLLIN } };

	if (refused) {
		assert_int_equal(errno, ECONNRESET);
	} else {
		assert_true(poll(p, ARRAY_LEN(p), LAB_WAIT_MS) > 0);
		refused = p[1].revents == 0;
		if (refused)
			lab_expect_reset(client);
		else
			close(lab_accept(listener));
	}
	close(client);
	return refused;
}

static void so_many_connections(void **state)
{
	int c[3], s[3];

	(void)state;
	conf.max_connections = 2;
	apply();
	open_pair(&c[0], &s[0]);
	open_pair(&c[1], &s[1]);
	expect_refused();
	assert_int_equal(counted(METER_refused_limit), 1);
	close(c[0]);
	close(s[0]);
	LAB_UNTIL(&lab, lab_connections(&lab) == 1);
	open_pair(&c[2], &s[2]);
	conf.max_connections = 0; /* lifted, while they are open */
	apply();
	open_pair(&c[0], &s[0]);
	for (unsigned i = 0; i < 3; i++) {
		expect_works(c[i], s[i]);
		close(c[i]);
		close(s[i]);
	}
}

static void so_many_of_one_source(void **state)
{
	int c, s;

	(void)state;
	conf.max_per_source = 1;
	apply();
	open_pair(&c, &s);
	expect_refused();
	assert_int_equal(counted(METER_refused_source), 1);
	close(c);
	close(s);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	conf.max_per_source = 0;
	conf.rate_per_source = 3;
	apply();
	for (unsigned i = 0; i < 3; i++) {
		open_pair(&c, &s);
		close(c);
		close(s);
	}
	for (unsigned i = 0; !next_is_refused(); i++) /* of those who come slowly more get in */
		assert_true(i < 100);
	assert_int_equal(counted(METER_refused_source), 2);
}

static void lists_of_ranges(void **state)
{
	struct cidr loopback, other;
	int c, s;

	(void)state;
	assert_int_equal(cidr_parse(&loopback, "127.0.0.0/8") | cidr_parse(&other, "192.0.2.0/24"), 0);
	conf.allow = (struct mapping_cidrs){ &other, 1 };
	apply();
	expect_refused();
	conf.allow = (struct mapping_cidrs){ &loopback, 1 };
	conf.deny = (struct mapping_cidrs){ &loopback, 1 };
	apply();
	expect_refused(); /* deny wins */
	assert_int_equal(counted(METER_refused_cidr), 2);
	conf.deny.n = 0;
	apply();
	open_pair(&c, &s);
	expect_works(c, s);
	close(c);
	close(s);
}

/* Both directions at 1 MB/s: two megabytes take two seconds, less what the bucket held. */
static void so_many_bytes_per_second(void **state)
{
	enum { SLOWLY = 200000 }; /* at 5 kB/s twice as long as anybody waits here */
	static char block[1000000], got[1000000];
	uint64_t start;
	int c, s;

	(void)state;
	conf.rate_in = conf.rate_out = 1000000;
	apply();
	open_pair(&c, &s);
	for (unsigned out = 0; out < 2; out++) {
		start = clock_mono_ms();
		lab_send(out ? s : c, block, sizeof block);
		assert_int_equal(recv(out ? c : s, got, sizeof got, MSG_WAITALL), sizeof got);
		assert_in_range(clock_mono_ms() - start, 900, LAB_WAIT_MS);
	}
	conf.rate_in = 5000;
	apply();
	lab_send(c, block, SLOWLY);
	conf.rate_in = 0; /* while most of it waits */
	apply();
	assert_int_equal(recv(s, got, SLOWLY, MSG_WAITALL), SLOWLY);
	close(c);
	close(s);
}

static void silence_has_a_limit(void **state)
{
	uint64_t start;
	int c, s;

	(void)state;
	conf.idle_timeout_ms = 3000;
	apply();
	open_pair(&c, &s);
	start = clock_mono_ms();
	for (unsigned i = 0; i < 8; i++) { /* bytes of either way keep it */
		poll(NULL, 0, 450);
		lab_send(i % 2 ? c : s, "x", 1);
		lab_expect(i % 2 ? s : c, "x", 1);
	}
	lab_expect_reset(c);
	assert_in_range(clock_mono_ms() - start, 6500, 2 * LAB_WAIT_MS);
	lab_expect_reset(s);
	assert_int_equal(counted(METER_timed_out), 1);
	close(c);
	close(s);
	open_pair(&c, &s);
	conf.idle_timeout_ms = 60000; /* of a live connection */
	apply();
	poll(NULL, 0, 3500);
	expect_works(c, s);
	conf.idle_timeout_ms = 300;
	apply();
	lab_expect_reset(c);
	close(c);
	close(s);
}

static void half_a_connection_has_a_limit(void **state)
{
	int c, s;

	(void)state;
	conf.half_close_timeout_ms = 300;
	apply();
	open_pair(&c, &s);
	poll(NULL, 0, 500); /* whole ones have none */
	expect_works(c, s);
	shutdown(c, SHUT_WR);
	lab_expect_end(s);
	lab_expect_reset(c);
	assert_int_equal(counted(METER_timed_out), 1);
	close(c);
	close(s);
}

/* A target whose backlog is full does not answer. */
static void connecting_has_a_limit(void **state)
{
	int full = lab_socket(SOCK_STREAM), fill[8], client;
	struct sockaddr_in a = lab_addr(0);
	uint64_t start;

	(void)state;
	assert_int_equal(bind(full, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(full, 0), 0);
	a = lab_addr(lab_port_of(full));
	for (unsigned i = 0; i < ARRAY_LEN(fill); i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fill[i], (struct sockaddr *)&a, sizeof a);
	}
	conf.target_port = ntohs(a.sin_port);
	conf.connect_timeout_ms = 300;
	apply();
	start = clock_mono_ms();
	client = lab_connect(SOCK_STREAM, port);
	lab_expect_reset(client);
	assert_in_range(clock_mono_ms() - start, 250, LAB_WAIT_MS);
	assert_int_equal(counted(METER_refused_dial), 1);
	close(client);
	for (unsigned i = 0; i < ARRAY_LEN(fill); i++)
		close(fill[i]);
	close(full);
}

static void names_are_resolved_and_judged_by_address(void **state)
{
	int c, s;

	(void)state;
	str_copy(conf.target_host, sizeof conf.target_host, "localhost");
	apply();
	for (unsigned i = 0; i < 3; i++) { /* the first asks, the others use the answer */
		open_pair(&c, &s);
		expect_works(c, s);
		close(c);
		close(s);
	}
	conf.dial_any = false;
	apply();
	expect_refused();
	assert_int_equal(counted(METER_refused_dial), 1);
	str_copy(conf.target_host, sizeof conf.target_host, "no-such-host.invalid");
	conf.dial_any = true;
	apply();
	expect_refused();
	assert_int_equal(counted(METER_refused_dial), 2);
}

/* ---- PROXY protocol ----------------------------------------------------------------------------------------------- */

static void the_target_learns_who_it_is(void **state)
{
	static const uint8_t versions[] = { MAPPING_PROXY_V1, MAPPING_PROXY_V2 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		uint8_t bytes[PROXY_OUT_MAX];
		struct proxy_header h;
		int c, s, n;

		conf.proxy_out = versions[i];
		apply();
		open_pair(&c, &s);
		n = (int)recv(s, bytes, sizeof bytes, 0); /* before the client has said anything */
		assert_int_equal(proxy_parse(&h, bytes, (size_t)n), n);
		assert_int_equal(addr_port(&h.src), lab_port_of(c));
		assert_int_equal(addr_port(&h.dst), port);
		expect_works(c, s);
		close(c);
		close(s);
		LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	}
	assert_int_equal(counted(METER_bytes_in), 8); /* the header is ours, not the client's */
}

static const char said[] = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

static void a_balancer_in_front_says_who_it_is(void **state)
{
	struct cidr loopback, other;
	struct proxy_header h;
	uint8_t bytes[PROXY_OUT_MAX];
	int c, s, n;

	(void)state;
	assert_int_equal(cidr_parse(&loopback, "127.0.0.0/8") | cidr_parse(&other, "192.0.2.0/24"), 0);
	conf.proxy_in = true;
	conf.proxy_out = MAPPING_PROXY_V2;
	conf.proxy_trusted = (struct mapping_cidrs){ &loopback, 1 };
	conf.allow = (struct mapping_cidrs){ &other, 1 }; /* of the real client, not of the balancer */
	conf.max_per_source = 1;
	apply();
	c = lab_connect(SOCK_STREAM, port);
	for (size_t i = 0; i < sizeof said - 1; i++) { /* in the smallest pieces, and the first bytes behind it */
		lab_send(c, said + i, 1);
		if (i % 7 == 0)
			poll(NULL, 0, 2);
	}
	s = lab_accept(listener);
	n = (int)recv(s, bytes, sizeof bytes, 0);
	assert_int_equal(proxy_parse(&h, bytes, (size_t)n), n);
	assert_int_equal(addr_port(&h.src), 4711);
	expect_works(c, s);
	n = lab_connect(SOCK_STREAM, port); /* the same client again */
	lab_send(n, said, sizeof said - 1);
	lab_expect_reset(n);
	close(n);
	assert_int_equal(counted(METER_refused_source), 1);
	close(c);
	close(s);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	c = lab_connect(SOCK_STREAM, port);
	lab_send(c, "GET / HTTP/1.1\r\n", 16);
	lab_expect_reset(c);
	close(c);
	assert_int_equal(counted(METER_refused_proxy), 1);
	conf.proxy_trusted = (struct mapping_cidrs){ &other, 1 };
	apply();
	expect_refused();
	assert_int_equal(counted(METER_refused_proxy), 2);
}

/* ---- what an operator does --------------------------------------------------------------------------------------- */

struct seen {
	struct conn_info last;
	unsigned n;
};

static bool see(const struct conn_info *info, void *arg)
{
	struct seen *x = arg;

	x->last = *info;
	x->n++;
	return true;
}

static void connections_are_listed_and_cut(void **state)
{
	struct seen seen = { .n = 0 };
	struct addr a;
	int c[2], s[2];

	(void)state;
	apply();
	open_pair(&c[0], &s[0]);
	open_pair(&c[1], &s[1]);
	expect_works(c[0], s[0]);
	expect_works(c[1], s[1]);
	lab.service.ops->list(lab.service.self, "map_b", see, &seen);
	assert_int_equal(seen.n, 0);
	lab.service.ops->list(lab.service.self, "", see, &seen);
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.last.mapping, "map_a");
	assert_int_equal(seen.last.bytes_in, 4);
	assert_int_equal(seen.last.bytes_out, 4);
	assert_int_equal(addr_parse(&a, seen.last.local), 0);
	assert_int_equal(addr_port(&a), port);
	assert_int_equal(addr_parse(&a, seen.last.target), 0);
	assert_int_equal(addr_port(&a), target);
	assert_int_equal(addr_parse(&a, seen.last.remote), 0);
	unsigned cut = addr_port(&a) == lab_port_of(c[1]);
	assert_int_equal(addr_port(&a), lab_port_of(c[cut]));
	assert_true(lab.service.ops->cut(lab.service.self, seen.last.id));
	assert_false(lab.service.ops->cut(lab.service.self, seen.last.id));
	lab_expect_reset(c[cut]);
	lab_expect_reset(s[cut]);
	expect_works(c[!cut], s[!cut]);
	for (unsigned i = 0; i < 2; i++) {
		close(c[i]);
		close(s[i]);
	}
}

static void a_suspended_mapping_ends_its_connections(void **state)
{
	struct sockaddr_in a = lab_addr(port);
	int c, s, late;

	(void)state;
	apply();
	open_pair(&c, &s);
	conf.enabled = false;
	apply();
	lab_expect_reset(c);
	lab_expect_reset(s);
	late = lab_socket(SOCK_STREAM);
	assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof a), -1);
	close(late);
	close(c);
	close(s);
	conf.enabled = true;
	apply();
	open_pair(&c, &s);
	expect_works(c, s);
	close(c);
	close(s);
}

static void an_expired_mapping_ends_by_itself(void **state)
{
	struct service_stats stats;
	int c, s;

	(void)state;
	apply();
	open_pair(&c, &s);
	expect_works(c, s);
	conf.expires_ms = clock_wall_ms() + 1000;
	apply();
	LAB_UNTIL(&lab, (lab.service.ops->stats(lab.service.self, &stats), stats.ports == 0));
	lab_expect_reset(c);
	lab_expect_reset(s);
	close(c);
	close(s);
	apply(); /* it comes again, and is still over */
	lab.service.ops->stats(lab.service.self, &stats);
	assert_int_equal(stats.ports, 0);
}

static void a_deleted_mapping_ends_as_it_says(void **state)
{
	int c, s;

	(void)state;
	conf.on_delete = MAPPING_KEEP;
	apply();
	open_pair(&c, &s);
	lab_change(&lab, "map_a", NULL);
	poll(NULL, 0, 200);
	expect_works(c, s); /* and is still counted: two sessions of one id */
	apply();
	close(c);
	close(s);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(counted(METER_bytes_in), 4);
	conf.on_delete = MAPPING_DRAIN;
	conf.drain_ms = 4000;
	apply();
	open_pair(&c, &s);
	lab_change(&lab, "map_a", NULL);
	expect_works(c, s);
	lab_expect_reset(c);
	close(c);
	close(s);
	conf.on_delete = MAPPING_CUT;
	apply();
	open_pair(&c, &s);
	lab_change(&lab, "map_a", NULL);
	lab_expect_reset(c);
	lab_expect_reset(s);
	close(c);
	close(s);
}

/* Another target is for new connections; another port is no reason to end one. */
static void a_changed_mapping_keeps_its_connections(void **state)
{
	uint16_t other_target, other_port = lab_free_port(SOCK_STREAM);
	int other = lab_bound(SOCK_STREAM, &other_target), c[3], s[3];

	(void)state;
	apply();
	open_pair(&c[0], &s[0]);
	conf.target_port = other_target;
	apply();
	c[1] = lab_connect(SOCK_STREAM, port);
	s[1] = lab_accept(other);
	conf.port_first = conf.port_last = other_port;
	apply();
	c[2] = lab_connect(SOCK_STREAM, other_port);
	s[2] = lab_accept(other);
	for (unsigned i = 0; i < 3; i++) {
		expect_works(c[i], s[i]);
		close(c[i]);
		close(s[i]);
	}
	close(other);
}

static void draining_ends_what_is_left(void **state)
{
	struct sockaddr_in a = lab_addr(port);
	int c, s, late = lab_socket(SOCK_STREAM);

	(void)state;
	apply();
	open_pair(&c, &s);
	lab.service.ops->quiesce(lab.service.self, false);
	assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof a), -1);
	close(late);
	expect_works(c, s);
	lab.service.ops->drain(lab.service.self, clock_mono_ms() + 4000);
	expect_works(c, s);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	lab_expect_reset(c);
	close(c);
	close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(so_many_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_of_one_source, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_of_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_bytes_per_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence_has_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(half_a_connection_has_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connecting_has_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_resolved_and_judged_by_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_target_learns_who_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_balancer_in_front_says_who_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connections_are_listed_and_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_suspended_mapping_ends_its_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_expired_mapping_ends_by_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_deleted_mapping_ends_as_it_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_changed_mapping_keeps_its_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(draining_ends_what_is_left, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
