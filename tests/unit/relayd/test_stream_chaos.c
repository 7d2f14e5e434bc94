/*
 * Clients and a target that behave badly in every way at once, while mappings change under them: nothing hangs, no
 * descriptor and no connection is left, and every connection that was opened is closed.
 */
#define _GNU_SOURCE
#include "relayd/stream/stream_service.h"
#include "tests/unit/relayd/lab.h"

#include <pthread.h>
#include <signal.h>

#define CLIENTS     6
#define CONNECTIONS 200 /* of each client */

static struct lab lab;
static int listener;
static uint16_t target, port;
static unsigned clients_left; /* atomic */

static unsigned dice(unsigned *seed, unsigned n)
{
	return (unsigned)rand_r(seed) % n;
}

/* Some bytes, some waiting, some reading, and then one of the ends there are. Either side may do this to the other. */
static void misbehave(int fd, unsigned *seed)
{
	static _Thread_local char block[300000];
	struct timeval soon = { .tv_usec = 200000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
	for (unsigned steps = dice(seed, 6); steps > 0; steps--) {
		switch (dice(seed, 4)) {
		case 0:
			(void)!send(fd, block, 1 + dice(seed, sizeof block), MSG_NOSIGNAL);
			break;
		case 1:
			(void)!send(fd, block, 1 + dice(seed, 100), MSG_NOSIGNAL);
			break;
		case 2:
			(void)!recv(fd, block, 1 + dice(seed, sizeof block), dice(seed, 2) ? MSG_WAITALL : 0);
			break;
		default:
			usleep(dice(seed, 3000));
		}
	}
	switch (dice(seed, 4)) {
	case 0:
		lab_reset(fd);
		return;
	case 1:
		shutdown(fd, SHUT_WR);
		while (recv(fd, block, sizeof block, 0) > 0)
			;
		break;
	case 2:
		shutdown(fd, SHUT_RDWR);
		break;
	default:
		break;
	}
	close(fd);
}

static void *work_client(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	for (unsigned done = 0; done < CONNECTIONS;) {
		struct sockaddr_in a = lab_addr(port);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
			misbehave(fd, &seed);
			done++;
		} else { /* suspended, or gone for a moment */
			close(fd);
			usleep(5000);
		}
	}
	__atomic_sub_fetch(&clients_left, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *work_server(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		misbehave(fd, &seed);
	}
}

/* Limits come and go, the mapping is suspended, another target is tried; each change touches what is live. */
static void change_something(unsigned *seed)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, port, target);

	m.idle_timeout_ms = 300;
	m.half_close_timeout_ms = 300;
	m.keepalive_s = dice(seed, 2);
	if (dice(seed, 3) == 0)
		m.rate_in = m.rate_out = 1000000 + dice(seed, 100) * 1000000;
	if (dice(seed, 4) == 0)
		m.max_per_source = 3;
	m.enabled = dice(seed, 16) != 0;
	m.on_delete = (uint8_t)dice(seed, 3);
	m.drain_ms = 50;
	if (dice(seed, 8) == 0)
		lab_change(&lab, "map_a", NULL);
	lab_change(&lab, "map_a", &m);
}

static void nothing_is_left(void **state)
{
	pthread_t client[CLIENTS], server[CLIENTS];
	unsigned seeds[2 * CLIENTS], seed = 1;

	(void)state;
	lab_start(&lab, stream_service_new);
	listener = lab_bound(SOCK_STREAM, &target);
	port = lab_free_port(SOCK_STREAM);
	clients_left = CLIENTS;
	for (unsigned i = 0; i < CLIENTS; i++) {
		seeds[i] = 100 + i;
		seeds[CLIENTS + i] = 200 + i;
		pthread_create(&server[i], NULL, work_server, &seeds[CLIENTS + i]);
		pthread_create(&client[i], NULL, work_client, &seeds[i]);
	}
	while (__atomic_load_n(&clients_left, __ATOMIC_ACQUIRE) > 0) {
		change_something(&seed);
		uv_run(&lab.loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 30);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(client[i], NULL);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	shutdown(listener, SHUT_RDWR);
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(server[i], NULL);
	close(listener);
	assert_true(lab_count(&lab, "map_a", METER_opened) > CLIENTS * CONNECTIONS / 4);
	assert_int_equal(lab_count(&lab, "map_a", METER_opened), lab_count(&lab, "map_a", METER_closed));
	lab_stop(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
