#include "controld/balancer/scratch.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct scratch_piece {
	struct scratch_piece *next;
	alignas(max_align_t) unsigned char bytes[];
};

void *scratch_take(struct scratch *s, size_t n, size_t size)
{
	struct scratch_piece *p;

	if (n == 0 || s->failed)
		return NULL;
	p = calloc(1, sizeof *p + n * size);
	if (p == NULL) {
		s->failed = true;
		return NULL;
	}
	p->next = s->pieces;
	s->pieces = p;
	return p->bytes;
}

const char *scratch_lower(struct scratch *s, const char *text)
{
	const size_t n = strlen(text);
	char *copy = scratch_take(s, n + 1, 1);

	if (copy == NULL)
		return "";
	for (size_t i = 0; i < n; i++)
		copy[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	return copy;
}

void scratch_free(struct scratch *s)
{
	struct scratch_piece *p;

	while ((p = s->pieces) != NULL) {
		s->pieces = p->next;
		free(p);
	}
}
