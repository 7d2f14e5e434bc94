/*
 * verb - what list, get, create, update, delete and explain have in common: the resource of their first word, controld, and
 * what it says of itself.
 *
 * Owner: the command, on the stack; verb_end() also of one that did not begin.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_VERB_H
#define PORTWAY_CLIENT_COMMANDS_VERB_H

#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/resource/named.h"
#include "client/resource/resource.h"
#include "client/resource/view.h"
#include "common/base/macros.h"

#include <jansson.h>

struct buf;
struct feed;

struct verb {
	const struct invocation *in;
	struct api *api;
	const struct resource *resource;
	struct resource_found found; /* where the table has none */
	json_t *doc;                 /* /openapi.json; NULL until verb_doc() */
	struct column *columns;      /* the caller's own; NULL: the resource's */
	struct failure f;
};

/* name: of the resource; need: one of RESOURCE_*. 0, or the exit code after a complaint. */
int verb_begin(struct verb *v, const struct invocation *in, const char *name, unsigned need);
void verb_end(struct verb *v);

/* What the API says of itself; NULL when it cannot be had. */
const json_t *verb_doc(struct verb *v);
/* The id of a word that is one, or a name that one object alone has (resource/named.h). 0, or the exit code after a complaint. */
int verb_find(struct verb *v, const char *word, char id[NAMED_ID_SIZE]);
/* "/api/v1/mappings/<id>" */
void verb_path(struct buf *b, const struct verb *v, const char *id);
/* --columns, or the resource's. 0, or the exit code after a complaint. */
int verb_view(struct verb *v, bool events, struct view_conf *out);
/* One object as a table of one row, as JSON or YAML, or its id. The exit code. */
int verb_show(struct verb *v, const json_t *object);
/* Complains about v->f. */
int verb_fail(const struct verb *v);

/* News of changes of the resource, for --watch; NULL where none are pushed. Ends with feed_close(). */
struct feed *verb_feed(const struct verb *v);
/* How often to look: --interval, or these. */
#define WATCH_LIVE_MS  5000 /* besides what is pushed: counters and who is online are no changes */
#define WATCH_BLIND_MS 2000

/* The resource's path with "status=active" and its like as a query; controld refuses by name what it does not know. */
int verb_filters(struct verb *v, struct buf *path, int argc, char **argv);
/*
 * What is written: the file of --file, and the words after it, as the API describes what path and method take. 0 with a new
 * object, or the exit code after a complaint.
 */
int verb_body(struct verb *v, const char *path, const char *method, int argc, char **argv, json_t **out);
/* The path that fields are described under: "/api/v1/mappings", for one "/api/v1/mappings/{id}". */
void verb_template(char *dst, size_t size, const struct verb *v, bool one);

/* What list and delete do, of any resource. The exit code. */
int verb_list(struct invocation *in, const char *resource, int argc, char **argv);
int verb_delete(struct invocation *in, const char *resource, int argc, char **argv);

/* Waits until the relays have taken a mapping up, at most timeout_ms; *object is replaced by what it is then. The exit code. */
int verb_settle(struct verb *v, json_t **object, uint64_t timeout_ms);

#endif
