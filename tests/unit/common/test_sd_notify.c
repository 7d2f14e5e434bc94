#include "common/base/sd_notify.h"

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int listen_at(const struct sockaddr_un *at, socklen_t n)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)at, n), 0);
	return fd;
}

static void expect(int fd, const char *beginning)
{
	char text[256] = "";
	ssize_t n = recv(fd, text, sizeof text - 1, 0);

	assert_true(n > 0);
	assert_int_equal(strncmp(text, beginning, strlen(beginning)), 0);
}

static void test_a_socket_with_a_path(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char folder[] = "/tmp/portway-unit-XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(str_fmt(at.sun_path, sizeof at.sun_path, "%s/notify", folder), 0);
	fd = listen_at(&at, sizeof at);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	sd_notify_send("READY=1");
	expect(fd, "READY=1");
	sd_notify_reloading();
	expect(fd, "RELOADING=1\nMONOTONIC_USEC=");
	close(fd);
	sd_notify_send("READY=1"); /* nobody listens any more */
	unlink(at.sun_path);
	rmdir(folder);
}

static void test_an_abstract_socket(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char name[64];
	int fd;

	(void)state;
	assert_int_equal(str_fmt(name, sizeof name, "@portway-unit-%d", (int)getpid()), 0);
	memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
	fd = listen_at(&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
	setenv("NOTIFY_SOCKET", name, 1);
	sd_notify_send("STOPPING=1");
	expect(fd, "STOPPING=1");
	close(fd);
}

static void test_names_that_are_none(void **state)
{
	char longest[300];

	(void)state;
	memset(longest, 'x', sizeof longest - 1);
	longest[0] = '/';
	longest[sizeof longest - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	sd_notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	sd_notify_send("READY=1");
	unsetenv("NOTIFY_SOCKET");
	sd_notify_send("READY=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_socket_with_a_path),
		cmocka_unit_test(test_an_abstract_socket),
		cmocka_unit_test(test_names_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
