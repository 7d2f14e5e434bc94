/*
 * udp_lab - a lab with a datagram service, one mapping ("map_u") and its target.
 */
#ifndef PORTWAY_TESTS_RELAYD_UDP_LAB_H
#define PORTWAY_TESTS_RELAYD_UDP_LAB_H

#include "relayd/datagram/datagram_service.h"
#include "tests/unit/relayd/lab.h"

static struct lab lab;
static int server;
static uint16_t target, port;
static struct mapping_conf conf;

static inline int set_up(void **state)
{
	int size = 4 << 20;

	(void)state;
	lab_start(&lab, datagram_service_new);
	server = lab_bound(SOCK_DGRAM, &target);
	setsockopt(server, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	port = lab_free_port(SOCK_DGRAM);
	conf = lab_mapping(MAPPING_UDP, port, target);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	close(server);
	lab_stop(&lab);
	return 0;
}

static inline void apply(void)
{
	enum err_code code;

	lab_change(&lab, "map_u", &conf);
	assert_null(lab_refusal(&lab, "map_u", &code));
}

static inline uint64_t counted(enum meter_counter c)
{
	return lab_count(&lab, "map_u", c);
}

static inline void expect_datagram(int fd, const void *want, size_t n)
{
	static char got[70000];
	ssize_t k = recv(fd, got, sizeof got, 0);

	if (k != (ssize_t)n)
		fail_msg("recv: %zd instead of %zu bytes (%s)", k, n, k < 0 ? strerror(errno) : "");
	assert_memory_equal(got, want, n);
}

/* The next datagram goes back where it came from; its sender's port. */
static inline uint16_t echo_one(void)
{
	static char bytes[70000];
	struct sockaddr_in from = { .sin_port = 0 };
	socklen_t len = sizeof from;
	ssize_t n = recvfrom(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len);

	if (n < 0)
		fail_msg("echo: %s", strerror(errno));
	assert_int_equal(sendto(server, bytes, (size_t)n, 0, (struct sockaddr *)&from, len), n);
	return ntohs(from.sin_port);
}

/*
 * On a port that went quiet at that time, and ends who says nothing for a second: the port that the target sees. 0: it had ended,
 * as the test was late.
 */
static inline uint16_t talk_in_time(int fd, uint64_t quiet_ms)
{
	struct pollfd p = { .fd = server, .events = POLLIN };
	uint16_t from;

	lab_send(fd, "y", 1);
	while (poll(&p, 1, 20) == 0) {
		assert_true(clock_mono_ms() < quiet_ms + LAB_WAIT_MS);
		if (lab_connections(&lab) > 0)
			continue;
		assert_true(clock_mono_ms() >= quiet_ms + 1000);
		print_message("too late to see it\n");
		return 0;
	}
	from = echo_one();
	expect_datagram(fd, "y", 1);
	return from;
}

static inline bool nothing_comes(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 100) == 0;
}

#define HANDED_MAX 80

/* What a predecessor offers. */
struct handed {
	struct handover_socket at[HANDED_MAX];
	uint8_t record[HANDED_MAX][256];
	unsigned n;
};

static inline int take(const struct handover_socket *s, void *arg)
{
	struct handed *h = arg;
	struct handover_socket *x = &h->at[h->n];

	assert_true(h->n < HANDED_MAX);
	*x = *s;
	x->fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0); /* as SCM_RIGHTS does */
	if (s->record_n > 0)
		x->record = memcpy(h->record[h->n], s->record, s->record_n);
	h->n++;
	return 0;
}

#endif
