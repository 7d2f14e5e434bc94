#include "relayd/meter/meter.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "relayd/meter/meter_book.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MS   1000
#define OTHERS_MAX 16 /* other boots' files held open at once; the rest wait their turn in the folder */

struct meter {
	char dir[PATH_MAX];
	char boot[PROTO_ID_SIZE];
	uint32_t slots, workers;
	struct meter_book *own; /* NULL while the file could not be made */
	uint64_t retry_at_ms;
	struct err retry_err;
	uint64_t last_number; /* of a slot's allocation */
	uint32_t n_fresh;     /* slots below were used at least once */
	uint32_t *free, n_free;
	uint32_t *gone, n_gone;             /* wait for their last values to be acknowledged */
	uint64_t retired[METER_COUNTERS_N]; /* what slots had counted that are free again */
	struct meter_book *others[OTHERS_MAX];
	size_t n_others;
	size_t turn; /* 0: own, else others[turn - 1] */
};

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n > m && strcmp(s + n - m, suffix) == 0;
}

/* What a process left that was killed while it made its file. */
static void meter_remove_unfinished(const struct meter *m)
{
	DIR *d = opendir(m->dir);
	struct dirent *entry;

	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL)
		if (ends_with(entry->d_name, METER_FILE_SUFFIX METER_FILE_NEW_SUFFIX))
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
}

static int meter_make_file(struct meter *m, struct err *e)
{
	struct meter_file *f;
	struct meter_book *b;

	if (meter_file_create(&f, m->dir, m->boot, m->slots, m->workers, e) != 0)
		return -1;
	if (meter_book_new(&b, f, true, e) != 0)
		return -1;
	/* Workers' syncs read `own` on another thread. */
	__atomic_store_n(&m->own, b, __ATOMIC_RELEASE);
	return 0;
}

/* The file is there, or *e says why not; a failed try is repeated after a while only. */
static int meter_need_file(struct meter *m, struct err *e)
{
	uint64_t now = clock_mono_ms();

	if (m->own != NULL)
		return 0;
	if (now >= m->retry_at_ms) {
		if (meter_make_file(m, &m->retry_err) == 0) {
			log_info("meter_ready", log_s("boot", m->boot));
			return 0;
		}
		m->retry_at_ms = now + RETRY_MS;
	}
	if (e != NULL)
		*e = m->retry_err;
	return -1;
}

int meter_open(struct meter **out, const char *dir, uint32_t slots, uint32_t workers, struct err *e)
{
	struct meter *m;
	char id[RAND_ID_SIZE];

	if (slots < 1 || slots > METER_FILE_SLOTS_MAX || workers < 1 || workers > METER_FILE_WORKERS_MAX)
		return err_set(e, ERR_VALIDATION, "meter.slots",
			"counters for %u objects and %u workers: between 1 and %u objects, 1 and %u workers", slots,
			workers, METER_FILE_SLOTS_MAX, METER_FILE_WORKERS_MAX);
	if ((m = calloc(1, sizeof *m)) == NULL || (m->free = calloc(slots, sizeof m->free[0])) == NULL ||
		(m->gone = calloc(slots, sizeof m->gone[0])) == NULL) {
		meter_close(m);
		return err_set(e, ERR_NOMEM, NULL, "counters: out of memory for %u objects", slots);
	}
	if (str_copy(m->dir, sizeof m->dir, dir) != 0) {
		meter_close(m);
		return err_set(e, ERR_VALIDATION, NULL, "data directory %s: the path is too long", dir);
	}
	m->slots = slots;
	m->workers = workers;
	rand_id(id, "boot");
	str_copy(m->boot, sizeof m->boot, id);
	meter_remove_unfinished(m);
	if (meter_need_file(m, NULL) != 0)
		log_error("meter_not_ready", log_err(&m->retry_err));
	*out = m;
	return 0;
}

void meter_close(struct meter *m)
{
	if (m == NULL)
		return;
	if (m->own != NULL)
		meter_file_sync(meter_book_file(m->own));
	meter_book_free(m->own);
	for (size_t i = 0; i < m->n_others; i++)
		meter_book_free(m->others[i]);
	free(m->free);
	free(m->gone);
	free(m);
}

const char *meter_boot(const struct meter *m)
{
	return m->boot;
}

int meter_sync(const struct meter *m)
{
	struct meter_book *own = __atomic_load_n(&m->own, __ATOMIC_ACQUIRE);

	return own != NULL ? meter_file_sync(meter_book_file(own)) : 0;
}

/* Gone slots whose last values are acknowledged become free. */
static void meter_recycle(struct meter *m)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->n_gone; i++) {
		uint32_t slot = m->gone[i];

		if (!meter_book_settled(m->own, slot)) {
			m->gone[kept++] = slot;
			continue;
		}
		for (int c = 0; c < METER_COUNTERS_N; c++)
			m->retired[c] += meter_file_total(meter_book_file(m->own), slot, (enum meter_counter)c);
		meter_file_release(meter_book_file(m->own), slot);
		m->free[m->n_free++] = slot;
	}
	m->n_gone = kept;
}

int meter_slot_get(struct meter *m, const char *object_id, struct meter_slot *out, struct err *e)
{
	uint32_t slot;

	if (meter_need_file(m, e) != 0)
		return -1;
	if (m->n_free == 0 && m->n_fresh == m->slots)
		meter_recycle(m); /* one that never counted anything waits for nobody */
	if (m->n_free > 0)
		slot = m->free[--m->n_free];
	else if (m->n_fresh < m->slots)
		slot = m->n_fresh++;
	else
		return err_set(e, ERR_NO_METER, NULL, "no counter is free for %s: all %u are in use (meter.slots)",
			object_id, m->slots);
	meter_file_take(meter_book_file(m->own), slot, ++m->last_number, object_id);
	meter_book_open_slot(m->own, slot);
	*out = (struct meter_slot){
		.cells = meter_file_cells(meter_book_file(m->own), slot), .index = slot, .number = m->last_number
	};
	return 0;
}

void meter_slot_put(struct meter *m, struct meter_slot *s)
{
	if (s->cells == NULL)
		return;
	m->gone[m->n_gone++] = s->index;
	*s = (struct meter_slot){ .cells = NULL };
}

uint64_t meter_slot_total(const struct meter *m, const struct meter_slot *s, enum meter_counter c)
{
	return s->cells != NULL ? meter_file_total(meter_book_file(m->own), s->index, c) : 0;
}

uint64_t meter_retired(const struct meter *m, enum meter_counter c)
{
	return m->retired[c];
}

void meter_each(const struct meter *m, void (*fn)(const struct meter_row *row, void *arg), void *arg)
{
	for (uint32_t i = 0; m->own != NULL && i < m->n_fresh; i++) {
		struct meter_row row;

		if (meter_file_row(meter_book_file(m->own), i, &row))
			fn(&row, arg);
	}
}

static bool meter_knows(const struct meter *m, const char *boot)
{
	if (strcmp(m->boot, boot) == 0)
		return true;
	for (size_t i = 0; i < m->n_others; i++)
		if (strcmp(meter_file_boot(meter_book_file(m->others[i])), boot) == 0)
			return true;
	return false;
}

static void meter_drop_other(struct meter *m, size_t i)
{
	int r = meter_file_remove(meter_book_file(m->others[i]));

	if (r != 0)
		log_error("meter_remove_failed", log_s("boot", meter_file_boot(meter_book_file(m->others[i]))),
			log_errno(-r));
	meter_book_free(m->others[i]);
	m->others[i] = m->others[--m->n_others];
}

/* A file that cannot be read is kept for a person to look at, under a name that is not tried again. */
static void put_aside(const char *path, const struct err *why)
{
	char aside[PATH_MAX];

	log_error("meter_file_unreadable", log_s("path", path), log_err(why));
	if (str_fmt(aside, sizeof aside, "%s.unreadable", path) == 0 && rename(path, aside) != 0)
		log_debug("meter_file_not_renamed", log_s("path", path));
}

static void meter_take_other(struct meter *m, const char *name)
{
	char path[PATH_MAX];
	struct meter_file *f;
	struct meter_book *b;
	struct err why = { 0 };

	if (str_fmt(path, sizeof path, "%s/%s", m->dir, name) != 0)
		return;
	if (meter_file_open(&f, path, &why) != 0) {
		if (why.code == ERR_PROTOCOL)
			put_aside(path, &why);
		return;
	}
	if (meter_knows(m, meter_file_boot(f))) {
		meter_file_close(f);
		return;
	}
	if (meter_book_new(&b, f, false, &why) != 0)
		return;
	m->others[m->n_others++] = b;
	if (meter_book_useless(b))
		meter_drop_other(m, m->n_others - 1);
}

/* Other boots' files that are not held yet. */
static void meter_scan(struct meter *m)
{
	DIR *d = opendir(m->dir);
	struct dirent *entry;

	if (d == NULL)
		return;
	while (m->n_others < OTHERS_MAX && (entry = readdir(d)) != NULL) {
		size_t n = strlen(entry->d_name), suffix = strlen(METER_FILE_SUFFIX);
		char boot[PROTO_ID_SIZE];

		if (n <= suffix || n - suffix >= sizeof boot ||
			strcmp(entry->d_name + n - suffix, METER_FILE_SUFFIX) != 0)
			continue;
		memcpy(boot, entry->d_name, n - suffix);
		boot[n - suffix] = '\0';
		if (!meter_knows(m, boot))
			meter_take_other(m, entry->d_name);
	}
	closedir(d);
}

bool meter_report_next(struct meter *m, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows)
{
	size_t tries;

	*n_rows = 0;
	if (m->turn == 0)
		meter_scan(m);
	tries = m->n_others + 1;
	for (size_t i = 0; i < tries; i++) {
		size_t at = m->turn > m->n_others ? 0 : m->turn;
		struct meter_book *b = at == 0 ? m->own : m->others[at - 1];

		m->turn = at + 1 > m->n_others ? 0 : at + 1;
		if (b != NULL && meter_book_report(b, max_bytes, head, rows, n_rows))
			return true;
	}
	return false;
}

void meter_report_acked(struct meter *m, const struct msg_report_ack *ack)
{
	if (strcmp(ack->boot, m->boot) == 0) {
		if (m->own != NULL) {
			meter_book_acked(m->own, ack->stored);
			meter_recycle(m);
		}
		return;
	}
	for (size_t i = 0; i < m->n_others; i++) {
		struct meter_book *b = m->others[i];

		if (strcmp(meter_file_boot(meter_book_file(b)), ack->boot) != 0)
			continue;
		meter_book_acked(b, ack->stored);
		if (ack->forget && meter_book_finished(b))
			meter_drop_other(m, i);
		return;
	}
}

void meter_report_again(struct meter *m)
{
	if (m->own != NULL)
		meter_book_again(m->own);
	for (size_t i = 0; i < m->n_others; i++)
		meter_book_again(m->others[i]);
}
