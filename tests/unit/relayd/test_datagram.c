/*
 * What a UDP port promises: every client its session, answers from the mapped port, nothing cut, limits, exact counts.
 */
#define _GNU_SOURCE
#include "common/net/proxy_protocol.h"
#include "tests/unit/relayd/udp_lab.h"

#include <netinet/ip.h>
#include <signal.h>

static void every_client_has_its_own_session(void **state)
{
	int c[100];
	uint16_t seen[ARRAY_LEN(c)];

	(void)state;
	apply();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
			uint16_t from;

			if (round == 0)
				c[i] = lab_connect(SOCK_DGRAM, port); /* connected: takes answers of this port only */
			lab_send(c[i], &i, sizeof i);
			from = echo_one();
			if (round == 0)
				seen[i] = from;
			assert_int_equal(from, seen[i]);
			expect_datagram(c[i], &i, sizeof i);
		}
	}
	assert_int_equal(lab_connections(&lab), ARRAY_LEN(c));
	assert_int_equal(counted(METER_opened), ARRAY_LEN(c));
	assert_int_equal(counted(METER_packets_in), 3 * ARRAY_LEN(c));
	assert_int_equal(counted(METER_packets_out), 3 * ARRAY_LEN(c));
	assert_int_equal(counted(METER_bytes_in), 12 * ARRAY_LEN(c));
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
}

/* Every size there is, in bursts of equal and of different ones: each arrives as it was, in order. */
static void datagrams_keep_their_size_and_order(void **state)
{
	static const size_t sizes[] = { 0, 1, 64, 64, 64, 64, 1200, 1200, 1200, 600, 1200, 1472, 1473, 9000, 9000,
		40000, 65507, 2, 2, 2, 1 };
	static uint8_t bytes[65507];
	int c[2];

	(void)state;
	apply();
	for (unsigned i = 0; i < 2; i++)
		c[i] = lab_connect(SOCK_DGRAM, port);
	for (unsigned round = 0; round < 20; round++) {
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			memset(bytes, (int)(k + 1), sizeof bytes);
			for (unsigned i = 0; i < 2; i++)
				assert_int_equal(send(c[i], bytes, sizes[k], 0), sizes[k]);
		}
		for (size_t k = 0; k < 2 * ARRAY_LEN(sizes); k++)
			echo_one();
		for (unsigned i = 0; i < 2; i++) {
			for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
				memset(bytes, (int)(k + 1), sizes[k]);
				expect_datagram(c[i], bytes, sizes[k]);
			}
		}
	}
	assert_int_equal(counted(METER_dropped_in) + counted(METER_dropped_out), 0);
	assert_int_equal(counted(METER_packets_in), 40 * ARRAY_LEN(sizes));
	assert_int_equal(counted(METER_bytes_in), counted(METER_bytes_out));
	close(c[0]);
	close(c[1]);
}

static void answers_leave_from_the_address_that_was_asked(void **state)
{
	static const char *binds[] = { "", "0.0.0.0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(binds); i++) {
		struct sockaddr_in a = lab_addr(port), from;
		socklen_t len = sizeof from;
		int c = lab_socket(SOCK_DGRAM);
		char got[8];

		str_copy(conf.bind, sizeof conf.bind, binds[i]);
		apply();
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 5); /* 127.0.0.6 */
		assert_int_equal(sendto(c, "ask", 3, 0, (struct sockaddr *)&a, sizeof a), 3);
		echo_one();
		assert_int_equal(recvfrom(c, got, sizeof got, 0, (struct sockaddr *)&from, &len), 3);
		assert_int_equal(from.sin_addr.s_addr, a.sin_addr.s_addr);
		assert_int_equal(from.sin_port, a.sin_port);
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8); /* the same client */
		assert_int_equal(sendto(c, "ask", 3, 0, (struct sockaddr *)&a, sizeof a), 3);
		echo_one();
		assert_int_equal(recvfrom(c, got, sizeof got, 0, (struct sockaddr *)&from, &len), 3);
		assert_int_equal(from.sin_addr.s_addr, a.sin_addr.s_addr);
		close(c);
	}
}

static void both_families_at_one_port(void **state)
{
	int c = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = 20 };
	struct addr a;

	(void)state;
	conf.bind[0] = '\0';
	apply();
	assert_int_equal(addr_parse_ip(&a, "::1", port), 0);
	if (c < 0 || connect(c, &a.sa, a.len) != 0) {
		close(c); /* a machine without IPv6 */
		return;
	}
	setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	lab_send(c, "six", 3);
	echo_one();
	expect_datagram(c, "six", 3);
	close(c);
}

static void silence_ends_a_session(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	conf.idle_timeout_ms = 3000;
	apply();
	for (unsigned i = 0; i < 6; i++) { /* either way keeps it */
		lab_send(c, "x", 1);
		echo_one();
		expect_datagram(c, "x", 1);
		poll(NULL, 0, 600);
	}
	assert_int_equal(counted(METER_opened), 1);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(counted(METER_closed), 1);
	lab_send(c, "x", 1);
	echo_one();
	expect_datagram(c, "x", 1);
	assert_int_equal(counted(METER_opened), 2);
	close(c);
}

static void so_many_sessions(void **state)
{
	int c[3];

	(void)state;
	conf.max_connections = 2;
	apply();
	for (unsigned i = 0; i < 3; i++) {
		lab_send(c[i] = lab_connect(SOCK_DGRAM, port), "x", 1);
		echo_one();
		expect_datagram(c[i], "x", 1);
	}
	assert_int_equal(lab_connections(&lab), 2);
	assert_int_equal(counted(METER_timed_out), 1); /* the first gave way */
	assert_int_equal(counted(METER_opened), 3);
	assert_int_equal(counted(METER_refused_limit), 0);
	conf.max_per_source = 2;
	lab_change(&lab, "map_u", NULL);
	apply();
	for (unsigned i = 0; i < 3; i++)
		lab_send(c[i], "x", 1);
	LAB_UNTIL(&lab, counted(METER_refused_source) == 1);
	assert_int_equal(lab_connections(&lab), 2);
	assert_int_equal(counted(METER_timed_out), 1); /* nobody gives way to who may not come in */
	for (unsigned i = 0; i < 3; i++)
		close(c[i]);
}

static void lists_of_ranges(void **state)
{
	struct cidr loopback;
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	assert_int_equal(cidr_parse(&loopback, "127.0.0.0/8"), 0);
	conf.deny = (struct mapping_cidrs){ &loopback, 1 };
	apply();
	lab_send(c, "x", 1);
	LAB_UNTIL(&lab, counted(METER_refused_cidr) == 1);
	assert_true(nothing_comes(server));
	close(c);
}

static void so_many_bytes_per_second(void **state)
{
	static char bytes[1000];
	uint64_t start = clock_mono_ms(), passed;
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	conf.rate_in = 100000;
	apply();
	while (clock_mono_ms() < start + 1000 || counted(METER_bytes_in) < 90000 || counted(METER_dropped_in) <= 100) {
		assert_true(clock_mono_ms() < start + LAB_WAIT_MS);
		for (unsigned i = 0; i < 20; i++)
			lab_send(c, bytes, sizeof bytes);
		poll(NULL, 0, 10);
	}
	passed = counted(METER_bytes_in);
	assert_in_range(passed, 90000, 50000 + (clock_mono_ms() - start) * 100);
	close(c);
}

/* However often it asks: nothing proves that it is where it says. */
static void an_address_gets_so_much_for_what_it_asks(void **state)
{
	static char bytes[1000];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	conf.udp_amplification = 3;
	apply();
	for (unsigned asked = 1; asked <= 10; asked++) {
		lab_send(c, bytes, 500);
		assert_int_equal(recvfrom(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len), 500);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(
				sendto(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, len), sizeof bytes);
		LAB_UNTIL(&lab, counted(METER_packets_out) + counted(METER_dropped_out) == 4 * asked);
		assert_int_equal(counted(METER_packets_out), asked * 3 / 2); /* three times 500 */
	}
	for (unsigned i = 0; i < 15; i++)
		expect_datagram(c, bytes, sizeof bytes);
	assert_true(nothing_comes(c));
	conf.udp_amplification = 0; /* a change holds at once */
	apply();
	assert_int_equal(sendto(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, len), sizeof bytes);
	expect_datagram(c, bytes, sizeof bytes);
	close(c);
}

/* One session for each port that is forged: in sum the address gets no more. */
static void all_ports_of_an_address_get_so_much(void **state)
{
	static char bytes[1000];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	int c[20];

	(void)state;
	conf.udp_amplification = 3;
	apply();
	for (unsigned k = 0; k < 2 * ARRAY_LEN(c); k++) {
		if (k < ARRAY_LEN(c))
			c[k] = lab_connect(SOCK_DGRAM, port);
		lab_send(c[k % ARRAY_LEN(c)], bytes, 400);
		assert_int_equal(recvfrom(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len), 400);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(
				sendto(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, len), sizeof bytes);
		LAB_UNTIL(&lab, counted(METER_packets_out) + counted(METER_dropped_out) == 4 * (k + 1));
	}
	assert_int_equal(counted(METER_opened), ARRAY_LEN(c));
	assert_true(counted(METER_bytes_out) <= 3 * counted(METER_bytes_in));
	assert_true(counted(METER_bytes_out) >= 2 * counted(METER_bytes_in));
	for (unsigned k = 0; k < ARRAY_LEN(c); k++)
		close(c[k]);
}

/* ICMP says that nobody listens: the session stays, and works when somebody does. */
static void a_target_that_is_away_comes_back(void **state)
{
	struct sockaddr_in a = lab_addr(target);
	int c = lab_connect(SOCK_DGRAM, port);
	char got[8] = "";

	(void)state;
	apply();
	lab_send(c, "1", 1);
	echo_one();
	expect_datagram(c, "1", 1);
	close(server);
	for (unsigned i = 0; i < 10; i++) {
		lab_send(c, "lost", 4);
		poll(NULL, 0, 5);
	}
	server = lab_socket(SOCK_DGRAM);
	assert_int_equal(bind(server, (struct sockaddr *)&a, sizeof a), 0);
	lab_send(c, "2", 1);
	do { /* a relay that is slow has some of those, too */
		echo_one();
	} while (recv(c, got, sizeof got, 0) == 4);
	assert_int_equal(got[0], '2');
	assert_int_equal(counted(METER_opened), 1);
	close(c);
}

static void names_are_resolved_before_the_first_datagram_goes(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	str_copy(conf.target_host, sizeof conf.target_host, "localhost");
	/* "localhost" may be ::1 first; the server is IPv4 */
	apply();
	lab_send(c, "one", 3);
	lab_send(c, "two", 3);
	LAB_UNTIL(&lab, counted(METER_packets_in) + counted(METER_refused_dial) + counted(METER_dropped_in) >= 2);
	conf.dial_any = false;
	lab_change(&lab, "map_u", NULL);
	apply();
	lab_send(c, "x", 1);
	LAB_UNTIL(&lab, counted(METER_refused_dial) >= 1);
	close(c);
}

static void the_target_learns_who_it_is(void **state)
{
	uint8_t bytes[256];

	(void)state;
	conf.proxy_out = MAPPING_PROXY_V2;
	for (unsigned every = 0; every < 2; every++) {
		int c = lab_connect(SOCK_DGRAM, port);

		conf.proxy_out_every = every;
		apply();
		for (unsigned i = 0; i < 3; i++) {
			struct proxy_header h;
			int n, used = 0;

			lab_send(c, "data", 4);
			n = (int)recv(server, bytes, sizeof bytes, 0);
			if (i == 0 || every) {
				used = proxy_parse(&h, bytes, (size_t)n);
				assert_true(used > 0 && h.dgram);
				assert_int_equal(addr_port(&h.src), lab_port_of(c));
				assert_int_equal(addr_port(&h.dst), port);
			}
			assert_int_equal(n - used, 4);
			assert_memory_equal(bytes + used, "data", 4);
		}
		close(c);
	}
	assert_int_equal(counted(METER_bytes_in), 24); /* the headers are ours */
}

static void a_balancer_in_front_says_who_it_is(void **state)
{
	struct cidr loopback, other;
	uint8_t bytes[256];
	struct addr src, dst;
	struct proxy_header h;
	int c = lab_connect(SOCK_DGRAM, port), n;
	size_t len;

	(void)state;
	assert_int_equal(cidr_parse(&loopback, "127.0.0.0/8") | cidr_parse(&other, "192.0.2.0/24"), 0);
	assert_int_equal(addr_parse(&src, "192.0.2.7:4711") | addr_parse(&dst, "198.51.100.1:53"), 0);
	conf.proxy_in = true;
	conf.proxy_out = MAPPING_PROXY_V2;
	conf.proxy_trusted = (struct mapping_cidrs){ &loopback, 1 };
	conf.allow = (struct mapping_cidrs){ &other, 1 };
	apply();
	lab_send(c, "no header", 9);
	LAB_UNTIL(&lab, counted(METER_refused_proxy) == 1);
	len = proxy_write_v2(bytes, &src, &dst, true);
	memcpy(bytes + len, "query", 5);
	lab_send(c, bytes, len + 5);
	n = (int)recv(server, bytes, sizeof bytes, 0);
	assert_true(proxy_parse(&h, bytes, (size_t)n) > 0);
	assert_true(addr_equal(&h.src, &src) && addr_equal(&h.dst, &dst));
	assert_memory_equal(bytes + n - 5, "query", 5);
	lab_send(c, "more", 4); /* introduced is introduced */
	expect_datagram(server, "more", 4);
	close(c);
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

static void sessions_are_listed_and_cut(void **state)
{
	struct seen seen = { .n = 0 };
	struct addr a;
	int c = lab_connect(SOCK_DGRAM, port);

	(void)state;
	apply();
	lab_send(c, "x", 1);
	echo_one();
	expect_datagram(c, "x", 1);
	lab.service.ops->list(lab.service.self, "map_u", see, &seen);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.last.protocol, MAPPING_UDP);
	assert_int_equal(addr_parse(&a, seen.last.remote), 0);
	assert_int_equal(addr_port(&a), lab_port_of(c));
	assert_int_equal(addr_parse(&a, seen.last.local), 0);
	assert_int_equal(addr_port(&a), port);
	assert_int_equal(addr_parse(&a, seen.last.target), 0);
	assert_int_equal(addr_port(&a), target);
	assert_true(lab.service.ops->cut(lab.service.self, seen.last.id));
	assert_int_equal(lab_connections(&lab), 0);
	assert_false(lab.service.ops->cut(lab.service.self, seen.last.id));
	close(c);
}

static void a_range_is_spread_over_the_workers(void **state)
{
	uint16_t first;
	int c;

	(void)state;
	first = lab_free_port(SOCK_DGRAM);
	conf.port_first = first;
	conf.port_last = (uint16_t)(first + 9);
	conf.target_port = (uint16_t)(target - 5); /* the sixth one has a target */
	apply();
	c = lab_connect(SOCK_DGRAM, (uint16_t)(first + 5));
	lab_send(c, "x", 1);
	echo_one();
	expect_datagram(c, "x", 1);
	close(c);
}

static void without_descriptors_the_oldest_gives_way_or_nobody_comes(void **state)
{
	int c[4];

	(void)state;
	lab.fds.limit = FD_SPARE + 3; /* the port and two sessions; the eighth for sessions is rounded away */
	apply();
	for (unsigned i = 0; i < 4; i++) {
		lab_send(c[i] = lab_connect(SOCK_DGRAM, port), "x", 1);
		echo_one();
		expect_datagram(c[i], "x", 1);
	}
	assert_int_equal(lab_connections(&lab), 2);
	assert_int_equal(counted(METER_timed_out), 2);
	lab_change(&lab, "map_u", NULL);
	apply();
	lab.fds.limit = FD_SPARE + 1;
	lab_send(c[0], "x", 1);
	LAB_UNTIL(&lab, counted(METER_refused_resource) == 1);
	for (unsigned i = 0; i < 4; i++)
		close(c[i]);
}

/* One whose clients come without end takes the places of its own, and others find theirs. */
static void a_mapping_leaves_descriptors_to_others(void **state)
{
	uint16_t greedy = port;
	int c[12];

	(void)state;
	lab.fds.limit = FD_SPARE + 12; /* two ports, and ten sessions */
	apply();
	conf.port_first = conf.port_last = port = lab_free_port(SOCK_DGRAM);
	lab_change(&lab, "map_other", &conf);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		lab_send(c[i] = lab_connect(SOCK_DGRAM, i < 10 ? greedy : port), "x", 1);
		echo_one();
		expect_datagram(c[i], "x", 1);
	}
	assert_int_equal(counted(METER_opened), 10);
	assert_int_equal(counted(METER_timed_out), 3);
	assert_int_equal(lab_count(&lab, "map_other", METER_opened), 2);
	assert_int_equal(lab_count(&lab, "map_other", METER_timed_out), 0);
	assert_int_equal(counted(METER_refused_resource) + lab_count(&lab, "map_other", METER_refused_resource), 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
}

/* Who is over his share because others came takes the place of one of his own: nobody's ends for nothing. */
static void a_mapping_over_its_share_trades_places(void **state)
{
	uint16_t greedy = port;
	int c[10];

	(void)state;
	lab.fds.limit = FD_SPARE + 12;
	apply();
	conf.port_first = conf.port_last = port = lab_free_port(SOCK_DGRAM);
	lab_change(&lab, "map_other", &conf);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		lab_send(c[i] = lab_connect(SOCK_DGRAM, i == 7 || i == 8 ? port : greedy), "x", 1);
		echo_one();
		expect_datagram(c[i], "x", 1);
	}
	assert_int_equal(counted(METER_opened), 8); /* seven were his, then two of the others' */
	assert_int_equal(counted(METER_timed_out), 1);
	assert_int_equal(counted(METER_refused_resource), 0);
	assert_int_equal(lab_count(&lab, "map_other", METER_timed_out), 0);
	assert_int_equal(lab_connections(&lab), 9);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
}

/* ---- handover ----------------------------------------------------------------------------------------------------- */

static void ports_and_sessions_are_handed_over(void **state)
{
	static struct handed handed;
	int c = lab_connect(SOCK_DGRAM, port), late;
	struct lab next;
	uint16_t from;

	(void)state;
	apply();
	lab_send(c, "x", 1);
	from = echo_one();
	expect_datagram(c, "x", 1);
	lab_start(&next, datagram_service_new);
	next.fds_before -= 2; /* the client's and the session's here, which will be closed */
	assert_int_equal(lab.service.ops->hand_over(lab.service.self, take, &handed), 0);
	assert_int_equal(handed.n, 2);
	for (unsigned i = 0; i < handed.n; i++)
		next.service.ops->adopt(next.service.self, &handed.at[i]);
	lab_change(&next, "map_u", &conf);
	assert_int_equal(lab_connections(&next), 1);
	lab.service.ops->quiesce(lab.service.self, true);
	assert_int_equal(lab_connections(&lab), 0);
	for (unsigned i = 0; i < 100; i++) {
		lab_send(c, &i, sizeof i);
		assert_int_equal(echo_one(), from); /* the same socket to the target */
		expect_datagram(c, &i, sizeof i);
	}
	late = lab_connect(SOCK_DGRAM, port);
	lab_send(late, "new", 3);
	echo_one();
	expect_datagram(late, "new", 3);
	assert_int_equal(lab_count(&lab, "map_u", METER_packets_in), 1);
	assert_int_equal(lab_count(&next, "map_u", METER_packets_in), 101);
	close(late);
	close(c);
	lab_stop(&next);
}

/* What was there before goes on, also of who has more than his share by the time. */
static void all_sessions_of_who_is_over_his_share_are_adopted(void **state)
{
	static struct handed handed;
	struct lab next;
	int c[8];

	(void)state;
	lab.fds.limit = FD_SPARE + 12;
	apply();
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		lab_send(c[i] = lab_connect(SOCK_DGRAM, port), "x", 1);
		echo_one();
		expect_datagram(c[i], "x", 1);
	}
	lab_start(&next, datagram_service_new);
	next.fds_before -= 16; /* the clients' and the sessions' here, which will be closed */
	next.fds.limit = lab.fds.limit;
	assert_true(fd_budget_take(&next.fds, 3, FD_FOR_SESSIONS)); /* others were there before him */
	assert_int_equal(lab.service.ops->hand_over(lab.service.self, take, &handed), 0);
	for (unsigned i = 0; i < handed.n; i++)
		next.service.ops->adopt(next.service.self, &handed.at[i]);
	lab_change(&next, "map_u", &conf);
	assert_int_equal(lab_connections(&next), 8);
	assert_int_equal(lab_count(&next, "map_u", METER_timed_out), 0);
	fd_budget_give(&next.fds, 3);
	lab.service.ops->quiesce(lab.service.self, true);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
	lab_stop(&next);
}

/* A client that never stops asking does not hold up an end. */
static void a_port_that_goes_quiet_ends_its_sessions_soon(void **state)
{
	int c = lab_connect(SOCK_DGRAM, port), silent = lab_connect(SOCK_DGRAM, port);
	uint64_t start;
	bool in_time;

	(void)state;
	apply();
	lab_send(silent, "x", 1);
	echo_one();
	lab_send(c, "x", 1);
	echo_one();
	expect_datagram(c, "x", 1);
	start = clock_mono_ms();
	lab.service.ops->quiesce(lab.service.self, false);
	in_time = talk_in_time(c, start) != 0;
	while (lab_connections(&lab) > 0 && clock_mono_ms() < start + LAB_WAIT_MS) {
		uint64_t last = clock_mono_ms();

		lab_send(c, "z", 1);
		poll(NULL, 0, 10);
		in_time &= clock_mono_ms() - last < 500;
	}
	assert_in_range(clock_mono_ms() - start, in_time ? 2000 : 1000, 15000);
	close(c);
	close(silent);
}

/* The successor that was given them did not come up. */
static void sessions_go_on_after_a_handover_that_failed(void **state)
{
	static struct handed handed;
	int c = lab_connect(SOCK_DGRAM, port);
	uint16_t from, seen;
	uint64_t start;

	(void)state;
	apply();
	lab_send(c, "x", 1);
	from = echo_one();
	expect_datagram(c, "x", 1);
	handed.n = 0;
	assert_int_equal(lab.service.ops->hand_over(lab.service.self, take, &handed), 0);
	for (unsigned i = 0; i < handed.n; i++)
		close(handed.at[i].fd);
	lab_send(c, "y", 1);
	assert_int_equal(echo_one(), from);
	expect_datagram(c, "y", 1);
	start = clock_mono_ms();
	lab.service.ops->quiesce(lab.service.self, false);
	seen = talk_in_time(c, start);
	assert_true(seen == from || seen == 0);
	close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_client_has_its_own_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(datagrams_keep_their_size_and_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_leave_from_the_address_that_was_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(both_families_at_one_port, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence_ends_a_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_of_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_bytes_per_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_gets_so_much_for_what_it_asks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_ports_of_an_address_get_so_much, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_target_that_is_away_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_resolved_before_the_first_datagram_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_target_learns_who_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_balancer_in_front_says_who_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sessions_are_listed_and_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_range_is_spread_over_the_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_descriptors_the_oldest_gives_way_or_nobody_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mapping_leaves_descriptors_to_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mapping_over_its_share_trades_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ports_and_sessions_are_handed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_sessions_of_who_is_over_his_share_are_adopted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_port_that_goes_quiet_ends_its_sessions_soon, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sessions_go_on_after_a_handover_that_failed, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
