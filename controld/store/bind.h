/*
 * bind - a value on its way to or from a statement. Texts and blobs are borrowed for the call that takes it.
 */
#ifndef PORTWAY_CONTROLD_STORE_BIND_H
#define PORTWAY_CONTROLD_STORE_BIND_H

#include <stddef.h>
#include <stdint.h>

struct bind {
	enum { BIND_NULL, BIND_TEXT, BIND_INT, BIND_REAL, BIND_BLOB } type;
	union {
		const char *s;
		int64_t i;
		double d;
		struct {
			const void *p;
			size_t n;
		} blob;
	};
};
static inline struct bind bind_s(const char *s) /* NULL binds NULL; borrowed until the call returns */
{
	return (struct bind){ .type = s ? BIND_TEXT : BIND_NULL, .s = s };
}
static inline struct bind bind_i(int64_t i)
{
	return (struct bind){ .type = BIND_INT, .i = i };
}
static inline struct bind bind_d(double d)
{
	return (struct bind){ .type = BIND_REAL, .d = d };
}
static inline struct bind bind_b(const void *p, size_t n)
{
	return (struct bind){ .type = BIND_BLOB, .blob = { p, n } };
}
static inline struct bind bind_null(void)
{
	return (struct bind){ .type = BIND_NULL };
}

#endif
