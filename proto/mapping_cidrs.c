#include "proto/mapping_cidrs.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CIDR_WIRE_MIN (1 + 1 + 4) /* bytes of an IPv4 range */

static size_t ip_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

void mapping_cidrs_put(struct buf *b, const struct mapping_cidrs *list)
{
	assert(list->n <= MAPPING_CIDRS_MAX);
	buf_u32(b, list->n);
	for (uint32_t i = 0; i < list->n; i++) {
		const struct cidr *item = &list->items[i];

		buf_u8(b, item->family);
		buf_u8(b, item->bits);
		buf_put(b, item->ip, ip_len(item->family));
	}
}

static void get_cidr(struct cursor *c, struct cidr *item)
{
	const uint8_t *ip;

	item->family = cursor_u8(c);
	item->bits = cursor_u8(c);
	ip = cursor_bytes(c, ip_len(item->family));
	if (ip != NULL)
		memcpy(item->ip, ip, ip_len(item->family));
	if (!cidr_is_valid(item))
		cursor_fail(c);
}

void mapping_cidrs_get(struct cursor *c, struct mapping_cidrs *list)
{
	const uint32_t n = cursor_count(c, MAPPING_CIDRS_MAX, CIDR_WIRE_MIN);

	if (n == 0)
		return;
	list->items = calloc(n, sizeof *list->items);
	if (list->items == NULL) {
		cursor_fail(c);
		return;
	}
	list->n = n;
	for (uint32_t i = 0; i < n && !c->failed; i++)
		get_cidr(c, &list->items[i]);
}

void mapping_cidrs_fini(struct mapping_cidrs *list)
{
	free(list->items);
	*list = (struct mapping_cidrs){ 0 };
}
