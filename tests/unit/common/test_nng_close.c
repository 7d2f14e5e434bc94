#include "common/nng/nng_close.h"

#include <dirent.h>
#include <nng/protocol/reqrep0/rep.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Who closes comes back after all, and takes what he was given with him: nothing is left for the sanitizer to find. */
static void one_that_was_not_waited_for(void **state)
{
	nng_socket socket;
	unsigned before;

	(void)state;
	assert_int_equal(nng_rep0_open(&socket), 0); /* starts nng's own threads */
	before = threads();
	for (int left = 0; left < 20;) {
		left += nng_close_within(socket, 0) != 0;
		for (int i = 0; threads() > before && i < 30000; i++)
			(void)usleep(1000);
		assert_int_equal(nng_rep0_open(&socket), 0);
	}
	assert_int_equal(nng_close_within(socket, 30000), 0);
	nng_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_was_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
