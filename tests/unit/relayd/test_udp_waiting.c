/*
 * Datagrams that wait for a name: how many bytes of them a worker keeps, which ones, and that the rest is counted.
 *
 * The resolver is this file's getaddrinfo(), which answers when the test lets it.
 */
#define _GNU_SOURCE
#include "relayd/datagram/udp_waiting.h"

#include "tests/unit/relayd/udp_lab.h"

#include <netdb.h>
#include <pthread.h>

#define LONG    60000
#define FITTING (UDP_WAITING_LANE / LONG) /* of one mapping on a worker */

static pthread_mutex_t resolver = PTHREAD_MUTEX_INITIALIZER;
static const char longest[LONG];

struct answer {
	struct addrinfo info;
	struct sockaddr_in at;
};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	struct answer *a = calloc(1, sizeof *a);

	(void)node;
	(void)service;
	(void)hints;
	if (a == NULL)
		return EAI_MEMORY;
	pthread_mutex_lock(&resolver);
	pthread_mutex_unlock(&resolver);
	a->at = lab_addr(0);
	a->info = (struct addrinfo){
		.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&a->at, .ai_addrlen = sizeof a->at
	};
	*out = &a->info;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	free(list);
}

static bool held; /* the resolver, by the test */

static void hold(void)
{
	pthread_mutex_lock(&resolver);
	held = true;
}

static void let_go(void)
{
	held = false;
	pthread_mutex_unlock(&resolver);
}

/* Also after a test that failed while it held the resolver. */
static int end(void **state)
{
	if (held)
		let_go();
	return tear_down(state);
}

static void put_mapping(const char *id)
{
	enum err_code code;

	str_copy(conf.target_host, sizeof conf.target_host, "service.test");
	conf.port_first = conf.port_last = port;
	lab_change(&lab, id, &conf);
	assert_null(lab_refusal(&lab, id, &code));
}

/* A client that is heard: its session is there. */
static int say(const char *id, const void *bytes, size_t n, uint64_t opened)
{
	int c = lab_connect(SOCK_DGRAM, port);

	assert_int_equal(send(c, bytes, n, 0), n);
	LAB_UNTIL(&lab, lab_count(&lab, id, METER_opened) == opened);
	return c;
}

struct passed {
	unsigned n, silent_after; /* sessions whose datagram was sent on, and later ones whose was not */
};

static bool look(const struct conn_info *info, void *arg)
{
	struct passed *p = arg;

	if (info->bytes_in == 0 && p->n > 0)
		p->silent_after++;
	p->n += info->bytes_in > 0;
	return true;
}

static void a_mapping_keeps_the_newest_of_so_many_bytes(void **state)
{
	struct passed passed = { .n = 0 };
	int c[3 * FITTING];

	(void)state;
	hold();
	put_mapping("map_u");
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		c[i] = say("map_u", longest, LONG, i + 1);
	LAB_UNTIL(&lab, counted(METER_dropped_in) == ARRAY_LEN(c) - FITTING);
	let_go();
	LAB_UNTIL(&lab, counted(METER_packets_in) == FITTING);
	assert_int_equal(counted(METER_dropped_in), ARRAY_LEN(c) - FITTING);
	assert_int_equal(counted(METER_bytes_in), FITTING * LONG);
	/* sessions stand in the order of their datagrams */
	lab.service.ops->list(lab.service.self, "map_u", look, &passed);
	assert_int_equal(passed.n, FITTING);
	assert_int_equal(passed.silent_after, 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
}

static void a_worker_keeps_so_many_bytes_of_all_mappings(void **state)
{
	enum { MAPPINGS = 12, EACH = FITTING };
	uint64_t dropped = 0, sent = 0;
	int c[MAPPINGS * EACH];
	char id[16];

	(void)state;
	hold();
	for (unsigned i = 0; i < MAPPINGS; i++) {
		str_fmt(id, sizeof id, "map_%u", i);
		port = lab_free_port(SOCK_DGRAM);
		put_mapping(id);
		for (unsigned k = 0; k < EACH; k++)
			c[i * EACH + k] = say(id, longest, LONG, k + 1);
	}
	let_go();
	for (unsigned i = 0; i < MAPPINGS; i++) {
		str_fmt(id, sizeof id, "map_%u", i);
		LAB_UNTIL(&lab, lab_count(&lab, id, METER_dropped_in) + lab_count(&lab, id, METER_packets_in) == EACH);
		dropped += lab_count(&lab, id, METER_dropped_in);
		sent += lab_count(&lab, id, METER_packets_in);
	}
	assert_true(sent <= 2 * UDP_WAITING_DESK / LONG);     /* the lab has two workers */
	assert_true(sent >= UDP_WAITING_DESK / LONG * 3 / 4); /* all on one of them */
	assert_int_equal(dropped + sent, MAPPINGS * EACH);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
}

/* Those that flood the workers with what has to wait drop their own, and not the one datagram of somebody else. */
static void many_that_wait_leave_room_to_another(void **state)
{
	enum { MAPPINGS = 5, PORTS = 8, EACH = PORTS * 8 }; /* on both workers each has more than UDP_WAITING_LANE */
	int c[MAPPINGS * EACH], first;
	enum err_code code;
	char id[16];

	(void)state;
	hold();
	put_mapping("map_u");
	first = say("map_u", "x", 1, 1);
	for (unsigned i = 0; i < MAPPINGS; i++) {
		str_fmt(id, sizeof id, "map_%u", i);
		do {
			conf.port_first = lab_free_port(SOCK_DGRAM);
			conf.port_last = (uint16_t)(conf.port_first + PORTS - 1);
			lab_change(&lab, id, &conf);
		} while (lab_refusal(&lab, id, &code) != NULL); /* one of them is taken */
		for (unsigned k = 0; k < EACH; k++) {
			port = (uint16_t)(conf.port_first + k % PORTS);
			c[i * EACH + k] = say(id, longest, LONG, k + 1);
		}
	}
	let_go();
	LAB_UNTIL(&lab, counted(METER_dropped_in) + counted(METER_packets_in) == 1);
	assert_int_equal(counted(METER_dropped_in), 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		close(c[i]);
	close(first);
}

static void a_session_keeps_its_newest_few(void **state)
{
	int c;

	(void)state;
	hold();
	put_mapping("map_u");
	c = say("map_u", "0", 1, 1);
	for (unsigned i = 1; i <= UDP_WAITING_MAX; i++)
		lab_send(c, &"0123456789"[i], 1);
	LAB_UNTIL(&lab, counted(METER_dropped_in) == 1);
	let_go();
	for (unsigned i = 1; i <= UDP_WAITING_MAX; i++)
		expect_datagram(server, &"0123456789"[i], 1);
	assert_int_equal(counted(METER_dropped_in), 1);
	close(c);
}

/* A mapping that goes while its clients wait leaves nothing behind; what it dropped is counted. */
static void the_end_of_who_waits(void **state)
{
	int c;

	(void)state;
	hold();
	conf.on_delete = MAPPING_CUT;
	put_mapping("map_u");
	c = say("map_u", "x", 1, 1);
	lab_change(&lab, "map_u", NULL);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	LAB_UNTIL(&lab, counted(METER_dropped_in) == 1);
	let_go();
	close(c);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, end)
	const struct CMUnitTest tests[] = {
		TEST(a_mapping_keeps_the_newest_of_so_many_bytes),
		TEST(a_worker_keeps_so_many_bytes_of_all_mappings),
		TEST(many_that_wait_leave_room_to_another),
		TEST(a_session_keeps_its_newest_few),
		TEST(the_end_of_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
