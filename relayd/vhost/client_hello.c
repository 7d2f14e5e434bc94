#include "relayd/vhost/client_hello.h"

#include "common/base/macros.h"

#include <stdbool.h>

#define RECORD_HANDSHAKE 22
#define RECORD_HEAD      5
#define RECORD_MAX       (16 * 1024) /* plain ones, which these are */
#define HANDSHAKE_HELLO  1
#define HANDSHAKE_HEAD   4
#define EXT_SERVER_NAME  0
#define NAME_HOST        0
#define RANDOM           32
#define SESSION_ID_MAX   32

/* The handshake's bytes, read across records. Sticky: after the first failure everything is 0. */
struct hello {
	const uint8_t *p; /* of the wire */
	size_t n, at;
	size_t in_record;         /* bytes left of the record that is being read */
	size_t left;              /* bytes left of the message */
	enum opening_kind failed; /* OPENING_FOUND: not yet */
};

/* False, or 0. */
static bool fail(struct hello *h, enum opening_kind why)
{
	if (h->failed == OPENING_FOUND)
		h->failed = why;
	return false;
}

static bool next_record(struct hello *h)
{
	const uint8_t *head = h->p + h->at;

	if (h->n - h->at < RECORD_HEAD)
		return fail(h, OPENING_MORE);
	h->in_record = (size_t)head[3] << 8 | head[4];
	if (head[0] != RECORD_HANDSHAKE || head[1] != 3 || h->in_record == 0 || h->in_record > RECORD_MAX)
		return fail(h, OPENING_BAD);
	h->at += RECORD_HEAD;
	return true;
}

static uint8_t get_u8(struct hello *h)
{
	if (h->failed != OPENING_FOUND)
		return 0;
	if (h->left == 0)
		return fail(h, OPENING_BAD);
	if (h->in_record == 0 && !next_record(h))
		return 0;
	if (h->at == h->n)
		return fail(h, OPENING_MORE);
	h->in_record--;
	h->left--;
	return h->p[h->at++];
}

static size_t get_u16(struct hello *h)
{
	size_t high = get_u8(h);

	return high << 8 | get_u8(h);
}

static void skip(struct hello *h, size_t n)
{
	while (n > 0 && h->failed == OPENING_FOUND) {
		size_t step;

		if (h->in_record == 0) {
			get_u8(h); /* the next record's first */
			n--;
			continue;
		}
		step = MIN(MIN(n, h->in_record), MIN(h->left, h->n - h->at));
		if (step == 0) {
			fail(h, h->left == 0 ? OPENING_BAD : OPENING_MORE);
			return;
		}
		h->at += step;
		h->in_record -= step;
		h->left -= step;
		n -= step;
	}
}

/* A length that must fit what is left. */
static size_t get_len(struct hello *h, size_t n, size_t min, size_t max)
{
	if (h->failed == OPENING_FOUND && (n < min || n > max || n > h->left))
		fail(h, OPENING_BAD);
	return h->failed == OPENING_FOUND ? n : 0;
}

/* The body of the extension: a list of names by kind, of which only host names were ever defined. */
static void read_names(struct hello *h, size_t size, struct opening *out, bool *named)
{
	size_t list = get_u16(h);

	if (list + 2 != size || list == 0)
		fail(h, OPENING_BAD);
	while (list > 0 && h->failed == OPENING_FOUND) {
		char name[HOST_NAME_SIZE + 1];
		uint8_t kind = get_u8(h);
		size_t n = get_u16(h);

		if (n + 3 > list || n == 0 || (kind == NAME_HOST && *named)) {
			fail(h, OPENING_BAD);
			return;
		}
		list -= n + 3;
		if (kind != NAME_HOST || n > sizeof name) {
			skip(h, n);
		} else {
			for (size_t i = 0; i < n; i++)
				name[i] = (char)get_u8(h);
			if (host_name_take(out->host, name, n) != 0)
				out->host[0] = '\0'; /* that nobody can have */
		}
		*named |= kind == NAME_HOST;
	}
}

static void read_extensions(struct hello *h, struct opening *out, bool *named)
{
	bool seen = false;

	while (h->left > 0 && h->failed == OPENING_FOUND) {
		size_t type = get_u16(h), size = get_len(h, get_u16(h), 0, SIZE_MAX);

		if (type != EXT_SERVER_NAME || h->failed != OPENING_FOUND) {
			skip(h, size);
		} else if (seen) {
			fail(h, OPENING_BAD);
		} else {
			seen = true;
			read_names(h, size, out, named);
		}
	}
}

static void read_hello(struct hello *h, struct opening *out, bool *named)
{
	skip(h, 2 + RANDOM);
	skip(h, get_len(h, get_u8(h), 0, SESSION_ID_MAX));
	skip(h, get_len(h, get_u16(h), 2, SIZE_MAX)); /* cipher suites */
	skip(h, get_len(h, get_u8(h), 1, SIZE_MAX));  /* compressions */
	if (h->failed != OPENING_FOUND || h->left == 0)
		return; /* before extensions were invented */
	if (get_u16(h) != h->left)
		fail(h, OPENING_BAD);
	read_extensions(h, out, named);
}

/* How many bytes of the wire there are at least, as far as the records that came tell. */
static size_t wire_size(const struct hello *h, size_t message)
{
	return h->at + message + (h->in_record == 0 ? RECORD_HEAD : 0);
}

enum opening_kind client_hello_read(struct opening *out, const uint8_t *p, size_t n)
{
	struct hello h = { .p = p, .n = n, .left = HANDSHAKE_HEAD, .failed = OPENING_FOUND };
	struct hello whole;
	uint8_t type;
	size_t size;
	bool named = false;

	*out = (struct opening){ .want = n + 1 };
	if ((n > 0 && p[0] != RECORD_HANDSHAKE) || (n > 1 && p[1] != 3))
		return OPENING_ALIEN;
	type = get_u8(&h);
	size = (size_t)get_u8(&h) << 16;
	size |= get_u16(&h);
	if (h.failed != OPENING_FOUND)
		return h.failed;
	if (type != HANDSHAKE_HELLO || size > CLIENT_HELLO_MAX)
		return OPENING_BAD;
	h.left = size;
	out->want = MAX(out->want, wire_size(&h, size));
	whole = h;
	skip(&whole, size);
	if (whole.failed != OPENING_FOUND)
		return whole.failed;
	read_hello(&h, out, &named);
	if (h.failed != OPENING_FOUND)
		return h.failed;
	return named ? OPENING_FOUND : OPENING_NO_HOST;
}
