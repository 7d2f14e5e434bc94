/*
 * edit - what is changed in a head on its way: fields taken out, fields put in, another path or host; or an answer instead.
 *
 * Nothing is copied of a head that nobody changes. Texts that are put in are copied here, and good until the head was written, which is
 * before the callback in which it came ends.
 *
 * Owner: the worker's desk has one for requests and one for responses. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_EDIT_H
#define PORTWAY_RELAYD_HTTP_EDIT_H

#include "common/base/macros.h"
#include "common/http/http_writer.h"

#include <stdbool.h>

#define EDIT_FIELDS_MAX 64
#define EDIT_TEXT_MAX   (24 * 1024)

struct edit_field {
	const char *name; /* in lower case, borrowed */
	struct http_span value;
	enum http_name id; /* of one that was put in by its number; HTTP_NAME_UNKNOWN: it goes by its name */
};

struct edit {
	uint64_t removed; /* HTTP_SET() of known names */
	uint16_t n_removed, n_added;
	bool failed;            /* something did not fit: the message cannot go on */
	bool recoded;           /* of a response: its content will have another length */
	struct http_span path;  /* of a request; n == 0: as it was matched */
	struct http_span query; /* p == NULL: as it came; else with its '?' */
	struct http_span host;  /* n == 0: as it came */
	/* an answer of our own instead of sending the request on; its content-type is among the fields that are put in */
	uint16_t status; /* 0: none */
	struct http_span body;
	const char *removed_names[EDIT_FIELDS_MAX]; /* that have no number, in lower case */
	struct edit_field added[EDIT_FIELDS_MAX];
	size_t used;
	char text[EDIT_TEXT_MAX];
};

void edit_reset(struct edit *e);
/* A copy that lives as long as the rest; p NULL and failed if it did not fit. */
struct http_span edit_keep(struct edit *e, const char *p, size_t n);
/* name: in lower case, and borrowed. value: copied. */
void edit_remove(struct edit *e, const char *name);
void edit_add(struct edit *e, const char *name, struct http_span value);
void edit_set(struct edit *e, const char *name, struct http_span value); /* remove, then add */
void edit_set_str(struct edit *e, const char *name, const char *value);
/* The same for names that have a number: nothing is looked up. */
void edit_remove_known(struct edit *e, enum http_name id);
void edit_set_known(struct edit *e, enum http_name id, struct http_span value);

/* The fields of a head without those of `without` and those that are taken out. e may be NULL. */
void edit_write_fields(const struct edit *e, struct http_writer *w, const struct http_head *h, uint64_t without);
/* Those that are put in. e may be NULL. */
void edit_write_added(const struct edit *e, struct http_writer *w);

#endif
