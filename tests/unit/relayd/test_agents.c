#define _GNU_SOURCE
/* Agents at a relay: who is let in, and who comes, goes and is sent away. What goes over their links: test_agents_streams.c. */
#include "relayd/tunnel/agents.h"

#include "proto/client_state.h"
#include "tests/unit/relayd/agents_lab.h"

/* Each worker has a link, wherever the connections came in. */
static void test_states(void **state)
{
	struct client_states states = { .n = 0 };
	static struct agent a, b;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	agent_start(&b, "i2", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2 && seen(&b.up) == 2);
	LAB_UNTIL(&lab, changes >= 2);
	agents_states(agents, &states);
	assert_int_equal(states.n, 2);
	assert_int_equal(states.items[0].links, 2);
	assert_string_equal(states.items[0].client, CLIENT);
	agent_stop(&a);
	agent_stop(&b);
	LAB_UNTIL(&lab, counts().links == 0);
	agents_states(agents, &states);
	assert_int_equal(states.n, 0);
}

static void test_refused(void **state)
{
	static struct agent a;

	(void)state;
	agent_start(&a, "i1", 1, other_secret, 1);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	assert_int_equal(seen(&a.code), ERR_AUTHENTICATION_FAILED);
	agent_stop(&a);
	put_client(false, secret);
	agent_start(&a, "i1", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	assert_int_equal(seen(&a.code), ERR_FORBIDDEN);
	agent_stop(&a);
	assert_int_equal(counts().refused, 2);
}

/* It is told which version is spoken, and may come back: one of the two will be renewed. */
static void test_another_version(void **state)
{
	static struct agent a;
	char want[64];

	(void)state;
	hello_version = FRAME_VERSION + 1;
	agent_start(&a, "i1", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	hello_version = 0;
	assert_int_equal(seen(&a.code), ERR_PROTOCOL);
	str_fmt(want, sizeof want, "version %d of links, this agent version %d", FRAME_VERSION, FRAME_VERSION + 1);
	assert_non_null(strstr(a.links[0].refused.reason, want));
	assert_true(a.links[0].refused.retry_ms > 0);
	assert_int_equal(counts().refused, 1);
	agent_stop(&a);
}

/* Switched off, or another secret: links and what passes on them end at once. */
static void test_revoked(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	put_client(true, other_secret);
	lab_expect_reset(fd);
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
	assert_int_equal(lab_count(&lab, "map_a", METER_reset), 1);
}

/* An agent that takes no new streams keeps its old ones, but not longer than it may be here. */
static void test_revoked_while_going(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	worker_post(&a.worker, &a.go_away);
	expect_echo(fd, 1000);
	put_client(true, other_secret);
	lab_expect_reset(fd);
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
}

static void greet_times(struct agent *a, const struct key *key, unsigned times)
{
	unsigned before = seen(&a->said);

	a->next = key;
	a->times = times;
	worker_post(&a->worker, &a->again);
	LAB_UNTIL(&lab, seen(&a->said) == before + 1);
}

/* Until the relay has read it on each link. */
static void greet_again(struct agent *a, const struct key *key)
{
	uint64_t before = counts().not_theirs;

	greet_times(a, key, 1);
	LAB_UNTIL(&lab, counts().not_theirs == before + a->n);
}

/* With a key that is good the link stays by that one; one that is not leaves it as it was. */
static void test_greets_again(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	put_client_with_both(secret, other_secret);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	greet_again(&a, other_secret);
	expect_echo(fd, 1000);
	put_client(true, other_secret);
	expect_echo(fd, 1000);
	usleep(1100000); /* no more than one a second */
	greet_again(&a, secret);
	expect_echo(fd, 1000);
	assert_int_equal(seen(&a.closed), 0);
	put_client(false, secret);
	lab_expect_reset(fd);
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
}

/* The agent has its new key before the relay knows of it: the link stays when the old one ends. */
static void test_greets_early(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	greet_again(&a, other_secret);
	expect_echo(fd, 1000);
	put_client_with_both(secret, other_secret);
	put_client(true, other_secret);
	usleep(1100000); /* it looks who may stay once a second */
	expect_echo(fd, 1000);
	assert_int_equal(seen(&a.closed), 0);
	put_client(true, secret); /* which it left */
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
}

/* Signatures cost: who asks for many is not listened to. */
static void test_greets_too_often(void **state)
{
	static struct agent a;

	(void)state;
	agent_start(&a, "i1", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&a.up) == 1);
	greet_times(&a, secret, 2);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	agent_stop(&a);
}

/* A later start of the same instance takes the place of an earlier one; the earlier cannot come back. */
static void test_take_over(void **state)
{
	static struct agent old, late, older;
	int fd;

	(void)state;
	agent_start(&old, "i1", 5, secret, 2);
	LAB_UNTIL(&lab, seen(&old.up) == 2);
	agent_start(&late, "i1", 6, secret, 2);
	LAB_UNTIL(&lab, seen(&late.up) == 2 && seen(&old.closed) == 2);
	agent_start(&older, "i1", 5, secret, 1);
	LAB_UNTIL(&lab, seen(&older.closed) == 1);
	assert_int_equal(seen(&older.code), ERR_CONFLICT);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	close(fd);
	LAB_UNTIL(&lab, seen(&late.streams) == 0);
	agent_stop(&old);
	agent_stop(&older);
	agent_stop(&late);
	assert_int_equal(counts().taken_over, 1);
}

/* More strangers than there is room for, all silent: who speaks gets in. */
static void test_silent_guests(void **state)
{
	int guests[40];
	static struct agent a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		guests[i] = lab_connect(SOCK_STREAM, agent_port);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	LAB_UNTIL(&lab, counts().evicted >= 40 - 2 * 8 - 2);
	agent_stop(&a);
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		close(guests[i]);
}

/* What is neither TLS nor a request for a WebSocket costs no handshake; neither do many who say nothing but its first bytes. */
static void test_junk(void **state)
{
	static const char junk[] = "GET away\r\n\r\n";
	static struct agent a;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		int fd = lab_connect(SOCK_STREAM, agent_port);

		lab_send(fd, junk, sizeof junk - 1);
		close(fd);
	}
	LAB_UNTIL(&lab, counts().junk + counts().evicted >= 190);
	assert_int_equal(counts().failed, 0);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	agent_stop(&a);
}

/* Handshakes that are begun and not gone on with hold so many descriptors, and no more; when they are gone it is as before. */
static void test_slow_handshakes(void **state)
{
	static const uint8_t begins[] = { 22, 3, 1, 2, 0, 1 };
	static struct agent a;
	int guests[60];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		guests[i] = lab_connect(SOCK_STREAM, agent_port);
		lab_send(guests[i], begins, sizeof begins);
		LAB_UNTIL(&lab, counts().accepted == i + 1);
	}
	LAB_UNTIL(&lab, counts().links > 0);
	assert_true(counts().links <= 2 * 8);
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		close(guests[i]);
	LAB_UNTIL(&lab, counts().failed + counts().crowded + counts().evicted + counts().gave_up == ARRAY_LEN(guests));
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	agent_stop(&a);
}

/* An agent that comes and goes as fast as it can is not in the log each time. */
static void test_comes_and_goes(void **state)
{
	static struct agent a;

	(void)state;
	for (unsigned i = 0; i < 500 && counts().untold == 0; i++) {
		agent_start(&a, "i1", i + 1, secret, 4);
		LAB_UNTIL(&lab, seen(&a.up) == 4);
		agent_stop(&a);
	}
	assert_true(counts().untold > 0);
	LAB_UNTIL(&lab, counts().links == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_revoked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_revoked_while_going, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_greets_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_greets_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_greets_too_often, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_take_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silent_guests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_junk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slow_handshakes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_comes_and_goes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
