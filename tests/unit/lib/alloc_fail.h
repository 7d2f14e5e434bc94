/*
 * alloc_fail - a test's memory runs out at the n-th allocation, whoever makes it.
 *
 *	#define _GNU_SOURCE
 *	#include "tests/unit/lib/alloc_fail.h"
 *
 *	ALLOC_FAIL_EACH(n) {
 *		alloc_fail_after(n);            the n-th allocation from here and all later ones fail
 *		rc = thing_new(&t, &e);
 *		if (!alloc_fail_stop())
 *			break;                  none failed: this was the round with memory enough
 *		assert_int_equal(rc, -1);
 *	}
 *
 * Include it first and in one file of a binary: it defines malloc, calloc and realloc in front of the C library's (or
 * of AddressSanitizer's). Where a sanitizer is linked in whole (clang, TSan) nothing fails: ALLOC_FAIL_WORKS is 0.
 */
#ifndef PORTWAY_TESTS_ALLOC_FAIL_H
#define PORTWAY_TESTS_ALLOC_FAIL_H

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__SANITIZE_THREAD__) || (defined(__clang__) && defined(__SANITIZE_ADDRESS__))
#define ALLOC_FAIL_WORKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOC_FAIL_WORKS 0
#endif
#endif
#ifndef ALLOC_FAIL_WORKS
#define ALLOC_FAIL_WORKS 1
#endif

#define ALLOC_FAIL_EACH(n) for (size_t n = 0;; n++)

/* Of the thread under test; others keep their memory. */
static _Thread_local struct {
	bool on;
	size_t left; /* allocations that still succeed */
	bool failed;
} alloc_fail;

static inline void alloc_fail_after(size_t n)
{
	alloc_fail.on = true;
	alloc_fail.left = n;
	alloc_fail.failed = false;
}

/* Memory is there again; answers whether an allocation failed meanwhile. */
static inline bool alloc_fail_stop(void)
{
	alloc_fail.on = false;
	return alloc_fail.failed;
}

#if ALLOC_FAIL_WORKS
static inline bool alloc_fail_now(void)
{
	if (!alloc_fail.on)
		return false;
	if (alloc_fail.left > 0) {
		alloc_fail.left--;
		return false;
	}
	alloc_fail.failed = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	static void *(*next)(size_t);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
	return alloc_fail_now() ? NULL : next(n);
}

void *realloc(void *p, size_t n)
{
	static void *(*next)(void *, size_t);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "realloc");
	return alloc_fail_now() ? NULL : next(p, n);
}

void *calloc(size_t count, size_t n)
{
	static void *(*next)(size_t, size_t);
	static bool looking;

	if (next == NULL) {
		if (looking) /* dlsym() itself asks; it can do without */
			return NULL;
		looking = true;
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
	}
	return alloc_fail_now() ? NULL : next(count, n);
}
#endif

#endif
