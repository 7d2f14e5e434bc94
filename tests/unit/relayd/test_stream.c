#define _GNU_SOURCE
/*
 * What a TCP port promises to the bytes that go through it: order of ends, resets, backpressure, exact counts.
 */
#include "relayd/stream/stream_service.h"

#include "tests/unit/relayd/lab.h"

#include <pthread.h>
#include <signal.h>

static struct lab lab;
static int listener;
static uint16_t target, port;

static int set_up(void **state)
{
	struct mapping_conf m;

	(void)state;
	lab_start(&lab, stream_service_new);
	listener = lab_bound(SOCK_STREAM, &target);
	port = lab_free_port(SOCK_STREAM);
	m = lab_mapping(MAPPING_TCP, port, target);
	lab_change(&lab, "map_a", &m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(listener);
	lab_stop(&lab);
	return 0;
}

static void open_pair(int *client, int *server)
{
	*client = lab_connect(SOCK_STREAM, port);
	*server = lab_accept(listener);
}

/* ---- the end of a connection, in every order --------------------------------------------------------------------- */

enum act { HALF_CLOSE, CLOSE, RESET };

static const struct {
	const char *what;
	enum act first, second; /* of the side that begins, then of the other */
} orders[] = {
	{ "half-close, half-close", HALF_CLOSE, HALF_CLOSE },
	{ "half-close, close", HALF_CLOSE, CLOSE },
	{ "half-close, reset", HALF_CLOSE, RESET },
	{ "close, half-close", CLOSE, HALF_CLOSE },
	{ "close, close", CLOSE, CLOSE },
	{ "close, reset", CLOSE, RESET },
	{ "reset, nothing", RESET, CLOSE },
};

static void act(int *fd, enum act what)
{
	if (what == HALF_CLOSE) {
		shutdown(*fd, SHUT_WR);
		return;
	}
	if (what == CLOSE)
		close(*fd);
	else
		lab_reset(*fd);
	*fd = -1;
}

/* After `first` on one side the other sees the same, can still answer what may be answered, and then acts itself. */
static void end_in_order(int *a, int *b, enum act first, enum act second)
{
	lab_send(*a, "hello", 5);
	lab_expect(*b, "hello", 5);
	act(a, first);
	if (first == RESET) {
		lab_expect_reset(*b);
		return;
	}
	lab_expect_end(*b);
	if (first == HALF_CLOSE) {
		lab_send(*b, "answer", 6);
		lab_expect(*a, "answer", 6);
	}
	act(b, second);
	if (first != HALF_CLOSE)
		return;
	if (second == RESET)
		lab_expect_reset(*a);
	else
		lab_expect_end(*a);
}

static void ends_in_every_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		for (unsigned from_server = 0; from_server < 2; from_server++) {
			int side[2];

			print_message("%s, begun by the %s\n", orders[i].what, from_server ? "target" : "client");
			open_pair(&side[0], &side[1]);
			end_in_order(&side[from_server], &side[!from_server], orders[i].first, orders[i].second);
			for (unsigned k = 0; k < 2; k++)
				if (side[k] >= 0)
					close(side[k]);
			LAB_UNTIL(&lab, lab_connections(&lab) == 0);
		}
	}
	assert_int_equal(lab_count(&lab, "map_a", METER_opened), 2 * ARRAY_LEN(orders));
	assert_int_equal(lab_count(&lab, "map_a", METER_closed), 2 * ARRAY_LEN(orders));
}

static void a_request_with_its_end_gets_its_answer_with_its_end(void **state)
{
	char c;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		int client, server;

		client = lab_connect(SOCK_STREAM, port);
		lab_send(client, "q", 1);
		shutdown(client, SHUT_WR); /* perhaps before the relay has dialled */
		server = lab_accept(listener);
		lab_expect(server, "q", 1);
		lab_expect_end(server);
		lab_send(server, "the answer", 10);
		close(server);
		lab_expect(client, "the answer", 10);
		lab_expect_end(client);
		assert_int_equal(recv(client, &c, 1, 0), 0);
		close(client);
	}
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), 300);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_out), 3000);
	assert_int_equal(lab_count(&lab, "map_a", METER_reset), 0);
}

/* recv() and splice() stop where urgent data stood, whatever is behind it. The urgent byte itself goes to nobody. */
static void urgent_data_is_no_end(void **state)
{
	(void)state;
	for (unsigned ends = 0; ends < 2; ends++) {
		int client = lab_connect(SOCK_STREAM, port), server;

		lab_send(client, "abc", 3); /* perhaps before the relay has dialled: it finds all of it at once */
		assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
		lab_send(client, "defgh", 5);
		if (ends)
			shutdown(client, SHUT_WR);
		server = lab_accept(listener);
		lab_expect(server, "abcdefgh", 8);
		if (ends)
			lab_expect_end(server);
		lab_send(server, "ijk", 3);
		assert_int_equal(send(server, "!", 1, MSG_OOB), 1);
		lab_send(server, "lm", 2);
		close(server);
		lab_expect(client, "ijklm", 5);
		lab_expect_end(client);
		close(client);
		LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	}
}

static void a_reset_reaches_a_side_that_does_not_read(void **state)
{
	static char block[1 << 20];
	int client, server;

	(void)state;
	open_pair(&client, &server);
	fcntl(server, F_SETFL, O_NONBLOCK);
	while (send(server, block, sizeof block, MSG_NOSIGNAL) >
		0) /* until nobody takes more: the client does not read */
		poll(NULL, 0, 20);
	lab_reset(server);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	while (recv(client, block, sizeof block, 0) > 0)
		;
	assert_int_equal(errno, ECONNRESET);
	close(client);
	assert_int_equal(lab_count(&lab, "map_a", METER_reset), 1);
}

static void nobody_listens_at_the_target(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), lab_free_port(SOCK_STREAM));

	(void)state;
	lab_change(&lab, "map_b", &m);
	lab_expect_refused(m.port_first);
	LAB_UNTIL(&lab, lab_count(&lab, "map_b", METER_refused_dial) == 1);
}

/* ---- many bytes -------------------------------------------------------------------------------------------------- */

/* Bytes that tell their place, so that a lost, doubled or moved one shows. */
static uint8_t byte_at(uint64_t i, unsigned seed)
{
	return (uint8_t)((i * 0x9e3779b97f4a7c15u + seed) >> 56);
}

struct stream {
	int fd;
	uint64_t bytes;
	unsigned seed;
	size_t chunk;      /* largest piece */
	unsigned pause_us; /* between pieces */
	bool bad;
};

static void *write_stream(void *arg)
{
	struct stream *s = arg;
	uint8_t *piece = malloc(s->chunk);

	for (uint64_t at = 0; at < s->bytes;) {
		size_t n = MIN(s->chunk, s->bytes - at);
		ssize_t k;

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_at(at + i, s->seed);
		k = send(s->fd, piece, n, MSG_NOSIGNAL);
		if (k <= 0) {
			s->bad = true;
			break;
		}
		at += (uint64_t)k;
		if (s->pause_us != 0)
			usleep(s->pause_us);
	}
	shutdown(s->fd, SHUT_WR);
	free(piece);
	return NULL;
}

static void *read_stream(void *arg)
{
	struct stream *s = arg;
	uint8_t *piece = malloc(s->chunk);
	uint64_t at = 0;
	ssize_t k;

	while ((k = recv(s->fd, piece, s->chunk, 0)) > 0) {
		for (ssize_t i = 0; i < k; i++)
			s->bad |= piece[i] != byte_at(at + (uint64_t)i, s->seed);
		at += (uint64_t)k;
		if (s->pause_us != 0)
			usleep(s->pause_us);
	}
	s->bad |= k < 0 || at != s->bytes;
	free(piece);
	return NULL;
}

enum { PARTS = 8, PART = 1 << 20, LAST = 5 };

/* To somebody slow, with urgent data behind that part: what waits at the relay are bytes, the mark, bytes and the end. */
static void send_with_urgent_data(uint64_t behind)
{
	static uint8_t part[PART];
	struct stream in = { .bytes = PARTS * PART + LAST, .chunk = 65536, .pause_us = 1000 };
	pthread_t reader;
	int client;

	open_pair(&client, &in.fd);
	assert_int_equal(pthread_create(&reader, NULL, read_stream, &in), 0);
	for (uint64_t i = 0; i <= PARTS; i++) {
		const size_t n = i < PARTS ? PART : LAST;

		for (size_t k = 0; k < n; k++)
			part[k] = byte_at(i * PART + k, 0);
		lab_send(client, part, n);
		if (i == behind)
			assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
	}
	shutdown(client, SHUT_WR);
	pthread_join(reader, NULL);
	close(client);
	close(in.fd);
	assert_false(in.bad);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
}

/* A stream that is spliced, too. */
static void urgent_data_in_a_long_stream(void **state)
{
	(void)state;
	send_with_urgent_data(PARTS / 2);
	send_with_urgent_data(PARTS - 1);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), 2 * (PARTS * PART + LAST));
}

static const struct {
	const char *what;
	uint64_t bytes;
	size_t write, read; /* largest piece */
	unsigned write_pause_us, read_pause_us;
} transfers[] = {
	{ "small pieces", 200000, 100, 65536, 0, 0 },
	{ "enough to splice", 200 << 20, 262144, 262144, 0, 0 },
	{ "a slow reader", 24 << 20, 262144, 65536, 0, 1000 },
	{ "a slow writer", 2 << 20, 20000, 262144, 1000, 0 },
	{ "large, then trickling", 4 << 20, 4096, 1048576, 100, 0 },
	{ "odd sizes", 32 << 20, 77777, 3333, 0, 0 },
	{ "nothing at all", 0, 1, 1, 0, 0 },
};

static void every_byte_arrives_once_both_ways(void **state)
{
	uint64_t total = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(transfers); i++) {
		struct stream s[4];
		pthread_t t[4];
		int fd[2];

		print_message("%s\n", transfers[i].what);
		open_pair(&fd[0], &fd[1]);
		for (unsigned k = 0; k < 4; k++) { /* client writes, server reads, server writes, client reads */
			bool writes = k % 2 == 0;

			s[k] = (struct stream){
				.fd = fd[k == 1 || k == 2],
				.bytes = transfers[i].bytes,
				.seed = k / 2,
				.chunk = writes ? transfers[i].write : transfers[i].read,
				.pause_us = writes ? transfers[i].write_pause_us : transfers[i].read_pause_us,
			};
			pthread_create(&t[k], NULL, writes ? write_stream : read_stream, &s[k]);
		}
		for (unsigned k = 0; k < 4; k++) {
			pthread_join(t[k], NULL);
			assert_false(s[k].bad);
		}
		close(fd[0]);
		close(fd[1]);
		total += transfers[i].bytes;
	}
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), total);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_out), total);
	assert_int_equal(lab_count(&lab, "map_a", METER_reset), 0);
}

/* The target reads nothing: what the client can put into the relay is bounded, and nothing is counted that was not taken. */
static void a_reader_that_sleeps_stops_the_writer(void **state)
{
	static char block[1 << 20];
	uint64_t sent = 0, got = 0;
	int client, server, quiet = 0;
	ssize_t k;

	(void)state;
	open_pair(&client, &server);
	fcntl(client, F_SETFL, O_NONBLOCK);
	while (quiet < 10) {
		k = send(client, block, sizeof block, MSG_NOSIGNAL);
		if (k > 0) {
			sent += (uint64_t)k;
			quiet = 0;
		} else {
			quiet++;
			poll(NULL, 0, 20);
		}
	}
	assert_in_range(sent, 1, 64 << 20); /* the kernel's buffers of two connections */
	LAB_UNTIL(&lab, lab_count(&lab, "map_a", METER_bytes_in) > 0);
	assert_in_range(lab_count(&lab, "map_a", METER_bytes_in), 1, sent);
	shutdown(client, SHUT_WR);
	while ((k = recv(server, block, sizeof block, 0)) > 0)
		got += (uint64_t)k;
	assert_int_equal(got, sent);
	close(client);
	close(server);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), sent);
}

/* ---- many connections -------------------------------------------------------------------------------------------- */

static void *ask_many(void *arg)
{
	unsigned *bad = arg;

	for (unsigned i = 0; i < 500; i++) {
		struct sockaddr_in a = lab_addr(port);
		int fd = lab_socket(SOCK_STREAM);
		char answer[8];

		if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0 || send(fd, "ask", 3, MSG_NOSIGNAL) != 3 ||
			recv(fd, answer, 6, MSG_WAITALL) != 6 || recv(fd, answer, 1, 0) != 0)
			(*bad)++;
		close(fd);
	}
	return NULL;
}

static void *answer_many(void *arg)
{
	unsigned n = *(unsigned *)arg;
	char question[3];

	while (n-- > 0) {
		int fd = accept(listener, NULL, NULL);

		if (recv(fd, question, 3, MSG_WAITALL) == 3)
			(void)!send(fd, "answer", 6, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static void thousands_of_short_connections(void **state)
{
	unsigned bad[4] = { 0 }, n = 2000;
	pthread_t t[4], server;

	(void)state;
	pthread_create(&server, NULL, answer_many, &n);
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, ask_many, &bad[i]);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(bad[i], 0);
	}
	pthread_join(server, NULL);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_opened), 2000);
	assert_int_equal(lab_count(&lab, "map_a", METER_closed), 2000);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), 6000);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_out), 12000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_in_every_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_request_with_its_end_gets_its_answer_with_its_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(urgent_data_is_no_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(urgent_data_in_a_long_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reset_reaches_a_side_that_does_not_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_listens_at_the_target, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_byte_arrives_once_both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reader_that_sleeps_stops_the_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(thousands_of_short_connections, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
