#include "relayd/conf/last_good.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "relayd/conf/snapshot.h"

#include <stdlib.h>
#include <string.h>

#define GOOD_MAGIC   0x50574c47u /* "PWLG" */
#define GOOD_VERSION 1
#define GOOD_CONTEXT "snapshot"
#define ENTRY_MIN    (1u + 2u + 8u + 4u)

void last_good_encode(struct buf *b, const struct snapshot *s, int64_t confirmed_ms)
{
	struct snapshot_walk w = { 0 };
	const struct object *o;

	buf_u32(b, GOOD_MAGIC);
	buf_u16(b, GOOD_VERSION);
	buf_u64(b, (uint64_t)confirmed_ms);
	msg_put_revision(b, &s->revision);
	buf_u32(b, (uint32_t)s->n);
	while ((o = snapshot_next(s, &w)) != NULL) {
		buf_u8(b, o->wire_kind);
		buf_str16(b, o->id);
		buf_u64(b, o->seq);
		buf_blob32(b, o->body, o->body_n);
	}
}

/* The objects that were read so far, each a reference. */
struct reading {
	const struct object **objects;
	size_t n;
};

static int get_object(struct cursor *c, struct reading *to, struct err *e)
{
	struct update_entry entry = { .kind = cursor_u8(c) };
	struct object *o;

	msg_get_id(c, entry.id);
	entry.seq = cursor_u64(c);
	entry.body = cursor_blob32(c, &entry.body_n);
	if (c->failed || (to->n > 0 && strcmp(to->objects[to->n - 1]->id, entry.id) >= 0))
		return err_set(e, ERR_PROTOCOL, NULL, "last good snapshot: object %zu is damaged", to->n);
	if (object_new(&o, &entry, e) != 0)
		return -1;
	to->objects[to->n++] = o;
	return 0;
}

static int get_objects(struct cursor *c, struct reading *to, struct err *e)
{
	uint32_t n = cursor_count(c, SNAPSHOT_OBJECTS_MAX, ENTRY_MIN);

	if ((to->objects = calloc(n + 1u, sizeof(*to->objects))) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "last good snapshot: out of memory for %u objects", n);
	while (to->n < n)
		if (get_object(c, to, e) != 0)
			return -1;
	if (cursor_done(c) != 0)
		return err_set(e, ERR_PROTOCOL, NULL, "last good snapshot: it ends too early or too late");
	return 0;
}

int last_good_decode(const void *p, size_t n, struct snapshot **out, int64_t *confirmed_ms, struct err *e)
{
	struct reading to = { .n = 0 };
	struct proto_revision revision;
	struct cursor c;
	int r;

	cursor_init(&c, p, n);
	if (cursor_u32(&c) != GOOD_MAGIC || cursor_u16(&c) != GOOD_VERSION)
		return err_set(e, ERR_PROTOCOL, NULL, "last good snapshot: not one of version %d", GOOD_VERSION);
	*confirmed_ms = (int64_t)cursor_u64(&c);
	msg_get_revision(&c, &revision);
	r = get_objects(&c, &to, e);
	if (r == 0)
		r = snapshot_of(out, &revision, to.objects, to.n, e);
	for (size_t i = 0; i < to.n; i++)
		object_unref(to.objects[i]);
	free(to.objects);
	return r;
}

int last_good_write(const char *path, const uint8_t key[SEAL_KEY_SIZE], const struct snapshot *s, int64_t confirmed_ms,
	struct err *e)
{
	uint8_t *sealed = NULL;
	struct buf b;
	int r;

	buf_init(&b, LAST_GOOD_MAX);
	last_good_encode(&b, s, confirmed_ms);
	if (b.failed || (sealed = malloc(b.len + SEAL_OVERHEAD)) == NULL)
		r = err_set(e, ERR_NOMEM, NULL, "last good snapshot: out of memory for %zu objects", s->n);
	else if ((r = seal_wrap(sealed, key, GOOD_CONTEXT, b.data, b.len, e)) == 0)
		r = file_write_atomic(path, sealed, b.len + SEAL_OVERHEAD, 0600, e);
	free(sealed);
	buf_free(&b);
	return r;
}

/* The file's plain content, malloc'ed. */
static int read_plain(const char *path, const uint8_t key[SEAL_KEY_SIZE], uint8_t **out, size_t *n, struct err *e)
{
	uint8_t *sealed = NULL, *plain = NULL;
	size_t sealed_n;
	int r;

	if (file_read(path, LAST_GOOD_MAX + SEAL_OVERHEAD, &sealed, &sealed_n, e) != 0)
		return -1;
	if (sealed_n < SEAL_OVERHEAD)
		r = err_set(e, ERR_PROTOCOL, NULL, "last good snapshot: %s is too short", path);
	else if ((plain = malloc(sealed_n)) == NULL)
		r = err_set(e, ERR_NOMEM, NULL, "last good snapshot: out of memory for %zu bytes", sealed_n);
	else
		r = seal_unwrap(plain, n, key, GOOD_CONTEXT, sealed, sealed_n, e);
	free(sealed);
	if (r == 0)
		*out = plain;
	else
		free(plain);
	return r;
}

int last_good_read(
	const char *path, const uint8_t key[SEAL_KEY_SIZE], struct snapshot **out, int64_t *confirmed_ms, struct err *e)
{
	uint8_t *plain;
	size_t n;
	int r;

	if (read_plain(path, key, &plain, &n, e) != 0)
		return -1;
	r = last_good_decode(plain, n, out, confirmed_ms, e);
	free(plain);
	return r;
}
