#include "relayd/datagram/udp_handover.h"

#include "common/base/buf.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void a_record_comes_back_as_it_was(void **state)
{
	struct udp_record r = { .heard = 2, .introduced = true, .proxied = true }, back;
	struct buf b;

	(void)state;
	assert_int_equal(addr_parse(&r.client, "192.0.2.7:4711") | addr_parse(&r.port, "[2001:db8::1]:53"), 0);
	r.from.len = sizeof r.from.v6; /* mapped, as a socket of both families tells it */
	r.from.v6.sin6_family = AF_INET6;
	r.from.v6.sin6_port = htons(99);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &r.from.v6.sin6_addr), 1);
	r.local.family = AF_INET6;
	r.local.v6 = r.from.v6.sin6_addr;
	buf_init(&b, 256);
	udp_record_encode(&r, &b);
	assert_int_equal(udp_record_decode(&back, b.data, b.len), 0);
	assert_memory_equal(&back.from, &r.from, sizeof r.from);
	assert_memory_equal(&back.local, &r.local, sizeof r.local);
	assert_true(addr_equal(&back.client, &r.client) && addr_equal(&back.port, &r.port));
	assert_int_equal(back.heard, 2);
	assert_true(back.introduced);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(udp_record_decode(&back, b.data, n), -1);
	b.data[0]++; /* of another version */
	assert_int_equal(udp_record_decode(&back, b.data, b.len), -1);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
