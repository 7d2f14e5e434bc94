#define _GNU_SOURCE
#include "relayd/handover/parcel.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct taken {
	unsigned n, services;
	bool wrong;
};

/* Each descriptor is the reading end of a pipe in which its own key was written. */
static void on_goods(const char *owner, const struct handover_socket *s, void *arg)
{
	struct taken *t = arg;
	char text[200] = "";

	if (read(s->fd, text, sizeof text) < 0 || strcmp(text, s->key) != 0)
		t->wrong = true;
	if (s->record_n != t->n % 1000 || (s->record_n > 0 && ((const char *)s->record)[s->record_n - 1] != 'r'))
		t->wrong = true;
	t->services += strcmp(owner, "stream") == 0;
	t->n++;
	close(s->fd);
}

static void socket_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static int pipe_with(const char *text)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], text, strlen(text) + 1), strlen(text) + 1);
	close(fds[1]);
	return fds[0];
}

/* One batch at a time is put and read, as both ends are in this process. */
static void everything_arrives(void **state)
{
	static char record[1000];
	static int sent[10 * PARCEL_FDS];
	struct taken t = { .n = 0 };
	struct parcel p;
	uint32_t total = 0;
	int fds[2];

	(void)state;
	memset(record, 'r', sizeof record);
	socket_pair(fds);
	parcel_init(&p, fds[0]);
	for (unsigned i = 0; i < ARRAY_LEN(sent); i++) {
		struct handover_socket s = { .record = record, .record_n = i % 1000 };

		str_fmt(s.key, sizeof s.key, "tcp/0.0.0.0/%u", i);
		s.fd = sent[i] = pipe_with(s.key);
		assert_int_equal(parcel_put(&p, i % 2 ? "stream" : "datagram", &s, NULL), 0);
		if (i % PARCEL_FDS != PARCEL_FDS - 1)
			continue;
		if (i == ARRAY_LEN(sent) - 1) /* else the next one put sends what is there */
			assert_int_equal(parcel_end(&p, NULL), 0);
		while (t.n < p.total)
			assert_int_equal(parcel_read(fds[1], on_goods, &t, &total, NULL), PARCEL_GOODS);
	}
	assert_int_equal(parcel_read(fds[1], on_goods, &t, &total, NULL), PARCEL_END);
	assert_false(t.wrong);
	assert_int_equal(t.n, 10 * PARCEL_FDS);
	assert_int_equal(t.services, 5 * PARCEL_FDS);
	for (unsigned i = 0; i < ARRAY_LEN(sent); i++)
		close(sent[i]);
	parcel_fini(&p);
	close(fds[0]);
	close(fds[1]);
}

static void words_and_ends(void **state)
{
	struct err e = { .code = ERR_NONE };
	uint32_t total = 3;
	int fds[2];

	(void)state;
	socket_pair(fds);
	assert_int_equal(parcel_say(fds[0], PARCEL_HELLO, NULL), 0);
	assert_int_equal(parcel_read(fds[1], NULL, NULL, &total, NULL), PARCEL_HELLO);
	parcel_set_timeout(fds[1], 20);
	assert_int_equal(parcel_read(fds[1], NULL, NULL, &total, &e), -1);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_int_equal(send(fds[0], "\77", 1, 0), 1);
	assert_int_equal(parcel_read(fds[1], NULL, NULL, &total, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	assert_int_equal(send(fds[0], "\3\0\0\0\4", 5, 0), 5); /* END of four, three came */
	assert_int_equal(parcel_read(fds[1], NULL, NULL, &total, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	close(fds[0]);
	assert_int_equal(parcel_read(fds[1], NULL, NULL, &total, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_int_equal(parcel_say(fds[1], PARCEL_GO, &e), -1);
	close(fds[1]);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Goods whose words do not fit their descriptors, or that nobody expects: nothing stays open. */
static void bad_goods_leave_no_descriptor(void **state)
{
	struct handover_socket s = { .fd = -1, .key = "key" };
	struct taken t = { .n = 0 };
	struct err e = { .code = ERR_NONE };
	uint32_t total = 0;
	struct parcel p;
	unsigned before;
	int fds[2];

	(void)state;
	socket_pair(fds);
	parcel_init(&p, fds[0]);
	s.fd = pipe_with("key");
	before = open_fds();
	assert_int_equal(parcel_put(&p, "stream", &s, NULL), 0);
	p.bytes.len--; /* cut */
	assert_int_equal(parcel_end(&p, NULL), 0);
	assert_int_equal(parcel_read(fds[1], on_goods, &t, &total, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	assert_int_equal(parcel_read(fds[1], on_goods, &t, &total, NULL), PARCEL_END);
	assert_int_equal(parcel_put(&p, "stream", &s, NULL), 0);
	assert_int_equal(parcel_end(&p, NULL), 0);
	assert_int_equal(parcel_read(fds[1], NULL, NULL, &total, &e), -1);
	assert_int_equal(open_fds(), before);
	close(s.fd);
	parcel_fini(&p);
	close(fds[0]);
	close(fds[1]);
}

/* The successor takes the first message, and then nothing any more. */
static void a_receiver_that_hangs_is_given_up(void **state)
{
	static char record[16384];
	struct handover_socket s = { .key = "key", .record = record, .record_n = sizeof record };
	struct err e = { .code = ERR_NONE };
	struct parcel p;
	int fds[2], r = 0;

	(void)state;
	socket_pair(fds);
	parcel_init(&p, fds[0]);
	p.until_ms = clock_mono_ms() + 100;
	s.fd = fds[0];
	for (unsigned i = 0; i < 1000 && r == 0; i++)
		r = parcel_put(&p, "stream", &s, &e);
	assert_int_equal(r, -1);
	assert_true(clock_mono_ms() >= p.until_ms);
	parcel_fini(&p);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_arrives),
		cmocka_unit_test(words_and_ends),
		cmocka_unit_test(bad_goods_leave_no_descriptor),
		cmocka_unit_test(a_receiver_that_hangs_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
