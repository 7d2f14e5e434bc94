#include "relayd/meter/meter_file.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAGIC   UINT64_C(0x31524554454d5750) /* "PWMETER1" in little-endian */
#define FILE_VERSION 1u
#define HEAD_SIZE    4096u
#define LINE         64u

struct file_head {
	uint64_t magic;
	uint32_t version;
	uint32_t slots, workers;
	uint32_t counters; /* per worker; a later build appends some */
	char boot[PROTO_ID_SIZE];
	uint64_t sent; /* highest report number ever sent */
};

/* In front of each slot's counters. */
struct file_slot {
	uint64_t number; /* of the allocation; 0: free. Set last, cleared first */
	char object[PROTO_ID_SIZE];
};
_Static_assert(sizeof(struct file_slot) <= LINE, "a slot's head is one cache line");
_Static_assert(sizeof(struct file_head) <= HEAD_SIZE, "the header is one page");

struct meter_file {
	int fd;
	bool locked;
	uint8_t *map;
	size_t size;
	uint32_t slots, workers, counters, stride; /* copies: a foreign file may change under us */
	char boot[PROTO_ID_SIZE];
	char path[PATH_MAX];
};

static struct file_head *head_of(const struct meter_file *f)
{
	return (struct file_head *)(void *)f->map;
}

static size_t slot_size(uint32_t workers, uint32_t stride)
{
	return LINE + (size_t)workers * stride * sizeof(uint64_t);
}

static struct file_slot *slot_of(const struct meter_file *f, uint32_t slot)
{
	return (struct file_slot *)(void *)(f->map + HEAD_SIZE + slot * slot_size(f->workers, f->stride));
}

uint64_t *meter_file_cells(const struct meter_file *f, uint32_t slot)
{
	return (uint64_t *)(void *)((uint8_t *)slot_of(f, slot) + LINE);
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static int file_new(struct meter_file **out, const char *path, struct err *e)
{
	struct meter_file *f = calloc(1, sizeof *f);

	if (f == NULL)
		return err_set(e, ERR_NOMEM, NULL, "counters %s: out of memory", path);
	f->fd = -1;
	if (str_copy(f->path, sizeof f->path, path) != 0) {
		free(f);
		return err_set(e, ERR_VALIDATION, NULL, "counters %s: the path is too long", path);
	}
	*out = f;
	return 0;
}

void meter_file_close(struct meter_file *f)
{
	if (f == NULL)
		return;
	if (f->map != NULL)
		munmap(f->map, f->size);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static int file_map(struct meter_file *f, struct err *e)
{
	void *p = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

	if (p == MAP_FAILED)
		return err_set_sys(e, ERR_IO, errno, "map counters %s", f->path);
	f->map = p;
	return 0;
}

/* Space for every counter before the first one is used: no write to the mapping can ever meet a full disk. */
static int file_allocate(struct meter_file *f, struct err *e)
{
	int r;

	do {
		r = posix_fallocate(f->fd, 0, (off_t)f->size);
	} while (r == EINTR);
	if (r == ENOSPC || r == EDQUOT || r == EFBIG)
		return err_set_sys(e, ERR_DISK_FULL, r, "no room for %zu bytes of counters in %s", f->size, f->path);
	return r == 0 ? 0 : err_set_sys(e, ERR_IO, r, "allocate counters %s", f->path);
}

/* From now on others find the file, complete and locked, also after a crash of the machine. */
static int file_publish(struct meter_file *f, const char *new_path, const char *dir, struct err *e)
{
	int fd = -1, r = 0;

	if (fsync(f->fd) != 0 || rename(new_path, f->path) != 0 ||
		(fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(fd) != 0)
		r = err_set_sys(e, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, errno, "create counters %s", f->path);
	if (fd >= 0)
		close(fd);
	return r;
}

static int file_fill(struct meter_file *f, struct err *e)
{
	struct file_head *h;

	if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
		return err_set_sys(e, ERR_IO, errno, "lock counters %s", f->path);
	f->locked = true;
	if (file_allocate(f, e) != 0 || file_map(f, e) != 0)
		return -1;
	h = head_of(f);
	*h = (struct file_head){ .magic = FILE_MAGIC,
		.version = FILE_VERSION,
		.slots = f->slots,
		.workers = f->workers,
		.counters = f->counters };
	memcpy(h->boot, f->boot, sizeof h->boot);
	return 0;
}

int meter_file_create(
	struct meter_file **out, const char *dir, const char *boot, uint32_t slots, uint32_t workers, struct err *e)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	struct meter_file *f;

	if (str_fmt(path, sizeof path, "%s/%s" METER_FILE_SUFFIX, dir, boot) != 0 ||
		str_fmt(new_path, sizeof new_path, "%s" METER_FILE_NEW_SUFFIX, path) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "data directory %s: the path is too long", dir);
	if (file_new(&f, path, e) != 0)
		return -1;
	f->slots = slots;
	f->workers = workers;
	f->counters = METER_COUNTERS_N;
	f->stride = METER_FILE_STRIDE;
	f->size = HEAD_SIZE + slots * slot_size(workers, f->stride);
	str_copy(f->boot, sizeof f->boot, boot);
	if ((f->fd = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0) {
		err_set_sys(e, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, errno, "create counters %s", path);
		goto fail;
	}
	if (file_fill(f, e) != 0 || file_publish(f, new_path, dir, e) != 0) {
		unlink(new_path);
		goto fail;
	}
	*out = f;
	return 0;
fail:
	meter_file_close(f);
	return -1;
}

/* A row that names no object would make controld refuse the whole report. */
static bool slot_is_sound(const struct file_slot *s)
{
	if (__atomic_load_n(&s->number, __ATOMIC_ACQUIRE) == 0)
		return true;
	return s->object[0] != '\0' && memchr(s->object, '\0', sizeof s->object) != NULL;
}

/* Copies what the header says once it is sure that all of it lies inside the file. */
static int file_check(struct meter_file *f, struct err *e)
{
	const struct file_head *h = head_of(f);
	size_t one, room = f->size - HEAD_SIZE;

	if (h->magic != FILE_MAGIC || h->version != FILE_VERSION)
		return err_set(e, ERR_PROTOCOL, NULL, "%s is not a counter file of version %u", f->path, FILE_VERSION);
	f->slots = h->slots;
	f->workers = h->workers;
	f->counters = h->counters;
	f->stride = (f->counters + 7u) / 8u * 8u;
	if (f->workers < 1 || f->workers > METER_FILE_WORKERS_MAX || f->counters < 1 || f->counters > 4096)
		return err_set(e, ERR_PROTOCOL, NULL, "%s: %u workers with %u counters each cannot be", f->path,
			f->workers, f->counters);
	one = slot_size(f->workers, f->stride);
	if (f->slots > METER_FILE_SLOTS_MAX)
		return err_set(e, ERR_PROTOCOL, NULL, "%s: %u slots are more than %u", f->path, f->slots,
			METER_FILE_SLOTS_MAX);
	f->slots = (uint32_t)MIN(f->slots, room / one); /* cut by meter_file_shrink() */
	if (memchr(h->boot, '\0', sizeof h->boot) == NULL || h->boot[0] == '\0')
		return err_set(e, ERR_PROTOCOL, NULL, "%s: it has no boot id", f->path);
	memcpy(f->boot, h->boot, sizeof f->boot);
	for (uint32_t i = 0; i < f->slots; i++)
		if (!slot_is_sound(slot_of(f, i)))
			return err_set(e, ERR_PROTOCOL, NULL, "%s: slot %u counts for no object", f->path, i);
	return 0;
}

int meter_file_open(struct meter_file **out, const char *path, struct err *e)
{
	struct meter_file *f;
	struct stat st;

	if (file_new(&f, path, e) != 0)
		return -1;
	if ((f->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) < 0 || fstat(f->fd, &st) != 0) {
		err_set_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open counters %s", path);
		goto fail;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)HEAD_SIZE) {
		err_set(e, ERR_PROTOCOL, NULL, "%s is too short for a counter file", path);
		goto fail;
	}
	f->size = (size_t)st.st_size;
	if (file_map(f, e) != 0 || file_check(f, e) != 0)
		goto fail;
	*out = f;
	return 0;
fail:
	meter_file_close(f);
	return -1;
}

int meter_file_remove(struct meter_file *f)
{
	return unlink(f->path) == 0 || errno == ENOENT ? 0 : -errno;
}

int meter_file_sync(const struct meter_file *f)
{
	return msync(f->map, f->size, MS_SYNC) == 0 ? 0 : -errno;
}

const char *meter_file_boot(const struct meter_file *f)
{
	return f->boot;
}

uint32_t meter_file_slots(const struct meter_file *f)
{
	return f->slots;
}

bool meter_file_dead(struct meter_file *f)
{
	if (!f->locked)
		f->locked = flock(f->fd, LOCK_EX | LOCK_NB) == 0;
	return f->locked;
}

void meter_file_shrink(struct meter_file *f)
{
	uint32_t used = f->slots;

	while (used > 0 && load(&slot_of(f, used - 1)->number) == 0)
		used--;
	if (ftruncate(f->fd, (off_t)(HEAD_SIZE + used * slot_size(f->workers, f->stride))) == 0)
		f->slots = used; /* the mapping stays longer than the file; nothing behind `slots` is touched */
}

uint64_t meter_file_sent(const struct meter_file *f)
{
	return load(&head_of(f)->sent);
}

void meter_file_set_sent(struct meter_file *f, uint64_t number)
{
	__atomic_store_n(&head_of(f)->sent, number, __ATOMIC_RELAXED);
}

void meter_file_take(struct meter_file *f, uint32_t slot, uint64_t number, const char *object_id)
{
	struct file_slot *s = slot_of(f, slot);

	memset(s->object, 0, sizeof s->object);
	str_copy(s->object, sizeof s->object, object_id);
	__atomic_store_n(&s->number, number, __ATOMIC_RELEASE);
}

void meter_file_release(struct meter_file *f, uint32_t slot)
{
	struct file_slot *s = slot_of(f, slot);
	uint64_t *cells = meter_file_cells(f, slot);

	__atomic_store_n(&s->number, 0, __ATOMIC_RELEASE);
	/* Free slots are all zero, so that a slot killed between here and its next use counts nothing. */
	for (size_t i = 0; i < (size_t)f->workers * f->stride; i++)
		__atomic_store_n(&cells[i], 0, __ATOMIC_RELAXED);
}

uint64_t meter_file_activity(const struct meter_file *f, uint32_t slot)
{
	const uint64_t *cells = meter_file_cells(f, slot);
	uint64_t sum = 0;

	if (load(&slot_of(f, slot)->number) == 0)
		return 0;
	for (size_t i = 0; i < (size_t)f->workers * f->stride; i++)
		sum += load(&cells[i]);
	return sum;
}

uint64_t meter_file_total(const struct meter_file *f, uint32_t slot, enum meter_counter c)
{
	const uint64_t *cells = meter_file_cells(f, slot);
	uint64_t sum = 0;

	if ((uint32_t)c >= f->counters)
		return 0;
	for (uint32_t w = 0; w < f->workers; w++)
		sum += load(&cells[(size_t)w * f->stride + (size_t)c]);
	return sum;
}

bool meter_file_row(const struct meter_file *f, uint32_t slot, struct meter_row *out)
{
	const struct file_slot *s = slot_of(f, slot);

	out->slot = load(&s->number);
	if (out->slot == 0)
		return false;
	memcpy(out->object, s->object, sizeof out->object);
	out->object[sizeof out->object - 1] = '\0';
	for (int c = 0; c < METER_COUNTERS_N; c++)
		out->value[c] = meter_file_total(f, slot, (enum meter_counter)c);
	return true;
}
