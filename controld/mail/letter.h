/*
 * letter - what mail there is: a table of templates, each with a subject, a plain text and HTML; and a mail made of one.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_MAIL_LETTER_H
#define PORTWAY_CONTROLD_MAIL_LETTER_H

#include "common/base/buf.h"
#include "common/base/macros.h"

#include <jansson.h>
#include <stddef.h>

struct err;
struct err_list;

#define LETTER_SUBJECT_MAX 200           /* characters */
#define LETTER_BODY_MAX    (256u * 1024) /* bytes of a part */
#define LETTER_VALUES_MAX  32

struct letter {
	const char *name;
	const char *subject; /* when none is given */
	const char *text, *html;
	const char *needs; /* names of values that must be there, by blanks */
	const char *takes; /* and of others that may be */
	const char *summary;
};

extern const struct letter letters[];
extern const size_t letters_n;
extern const char *const letter_names[]; /* NULL at the end: for schemas */

const struct letter *letter_find(const char *name); /* or NULL */
/* What is wrong with values, all of it. */
void letter_check(const struct letter *l, const json_t *values, struct err_list *errs);
/* Appends to text and html; subject may be NULL. *shown gets the subject, for the caller to free with buf_free(). */
struct letter_made {
	struct buf subject, text, html;
};
int letter_make(struct letter_made *out, const struct letter *l, const char *subject, const json_t *values,
	struct err *e) MUST_CHECK;
void letter_made_fini(struct letter_made *m);

#endif
