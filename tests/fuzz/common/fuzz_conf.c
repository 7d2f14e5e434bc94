/* A settings file: whatever it holds, loading ends; what is accepted prints to a file that means the same. */
#define _GNU_SOURCE
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

struct settings {
	char *name;
	char *secret;
	char *listen;
	bool on;
	int level;
	uint64_t count;
	uint64_t size;
	uint64_t wait_ms;
};

#define AT(member) offsetof(struct settings, member)
static const char *const levels[] = { "low", "high", NULL };
static const struct conf_key keys[] = {
	{ .key = "a.b.wait", .type = CONF_DURATION, .offset = AT(wait_ms), .def = "5s", .min = 1, .max = 86400000 },
	{ .key = "a.count",
		.aliases = "aCount",
		.type = CONF_U64,
		.offset = AT(count),
		.def = "3",
		.min = 1,
		.max = 9 },
	{ .key = "a.size", .type = CONF_SIZE, .offset = AT(size), .def = "64KiB" },
	{ .key = "level", .type = CONF_ENUM, .offset = AT(level), .def = "high", .choices = levels },
	{ .key = "listen", .type = CONF_LISTEN, .offset = AT(listen), .def = "127.0.0.1:80" },
	{ .key = "name", .type = CONF_STR, .offset = AT(name), .def = "n", .min = 1, .max = 100 },
	{ .key = "on", .type = CONF_BOOL, .offset = AT(on), .def = "false" },
	{ .key = "secret", .type = CONF_STR, .offset = AT(secret), .def = "", .flags = CONF_SECRET },
};
static const struct conf_table table = { .program = "fuzz", .keys = keys, .n = ARRAY_LEN(keys) };

/* The text as a file without a name. */
static int load(const void *text, size_t n, struct settings *s, struct err_list *errs)
{
	struct conf_source src = { .file_must_exist = true };
	int fd = memfd_create("fuzz_conf", MFD_CLOEXEC), rc;
	char path[40];

	FUZZ_CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n);
	str_fmt(path, sizeof path, "/proc/self/fd/%d", fd);
	src.file = path;
	memset(s, 0, sizeof *s);
	memset(errs, 0, sizeof *errs);
	rc = conf_load(&table, s, &src, errs);
	close(fd);
	FUZZ_CHECK((rc == 0) == (errs->n == 0));
	return rc;
}

static char *print(const struct settings *s, size_t *n)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, n);

	FUZZ_CHECK(out != NULL);
	conf_print(&table, s, out);
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct err_list errs;
	struct settings first, second;
	size_t first_n, second_n;
	char *text, *again;

	if (load(data, size, &first, &errs) == 0) {
		text = print(&first, &first_n);
		FUZZ_CHECK(load(text, first_n, &second, &errs) == 0);
		FUZZ_CHECK(strcmp(first.name, second.name) == 0 && first.size == second.size);
		free(second.secret); /* printed as ***: it does not come back */
		second.secret = first.secret;
		first.secret = NULL;
		again = print(&second, &second_n);
		FUZZ_CHECK(first_n == second_n && memcmp(text, again, first_n) == 0);
		free(text);
		free(again);
		conf_free(&table, &second);
	}
	for (size_t i = 0; i < errs.n; i++)
		FUZZ_CHECK(str_is_utf8(errs.items[i].msg, strlen(errs.items[i].msg)));
	conf_free(&table, &first);
	return 0;
}
