#include "relayd/conf/object.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"

#include <stdlib.h>
#include <string.h>

/* The references are the one part of an object that changes; all else is const for everyone. */
static struct object *writable(const struct object *o)
{
	return (struct object *)(uintptr_t)o;
}

static void object_free(struct object *o)
{
	if (o == NULL)
		return;
	if (o->kind == OBJECT_MAPPING)
		mapping_conf_fini(&o->mapping);
	else if (o->kind == OBJECT_POOL)
		pool_conf_fini(&o->pool);
	else if (o->kind == OBJECT_ROUTE)
		route_conf_fini(&o->route);
	else if (o->kind == OBJECT_CERT)
		cert_conf_fini(&o->cert);
	else if (o->kind == OBJECT_ACME)
		acme_conf_fini(&o->acme);
	if (o->body != NULL)
		seal_wipe(o->body, o->body_n); /* some hold private keys */
	free(o->body);
	free(o);
}

/* Says what is wrong with the body, or NULL and the member of its kind is filled. */
static const char *object_decode(struct object *o)
{
	int rc;

	if (o->wire_kind == OBJECT_MAPPING)
		rc = mapping_conf_decode(&o->mapping, o->body, o->body_n);
	else if (o->wire_kind == OBJECT_CLIENT)
		rc = client_conf_decode(&o->client, o->body, o->body_n);
	else if (o->wire_kind == OBJECT_POOL)
		rc = pool_conf_decode(&o->pool, o->body, o->body_n);
	else if (o->wire_kind == OBJECT_ROUTE)
		rc = route_conf_decode(&o->route, o->body, o->body_n);
	else if (o->wire_kind == OBJECT_CERT)
		rc = cert_conf_decode(&o->cert, o->body, o->body_n);
	else if (o->wire_kind == OBJECT_ACME)
		rc = acme_conf_decode(&o->acme, o->body, o->body_n);
	else if (o->wire_kind == OBJECT_TICKETS)
		rc = ticket_conf_decode(&o->tickets, o->body, o->body_n);
	else
		return "this relay does not know objects of this kind";
	if (rc != 0)
		return "its configuration cannot be decoded";
	return NULL;
}

int object_new(struct object **out, const struct update_entry *entry, struct err *e)
{
	struct object *o;

	if ((o = calloc(1, sizeof *o)) == NULL || (o->body = malloc(entry->body_n + 1)) == NULL) {
		object_free(o);
		return err_set(e, ERR_NOMEM, NULL, "object %s: out of memory", entry->id);
	}
	o->refs = 1;
	o->seq = entry->seq;
	str_copy(o->id, sizeof o->id, entry->id);
	o->wire_kind = entry->kind;
	o->body_n = entry->body_n;
	if (entry->body_n > 0)
		memcpy(o->body, entry->body, entry->body_n);
	o->fault = object_decode(o);
	o->kind = o->fault == NULL ? entry->kind : OBJECT_FAULTY;
	*out = o;
	return 0;
}

struct object *object_ref(const struct object *o)
{
	struct object *w = writable(o);

	__atomic_fetch_add(&w->refs, 1, __ATOMIC_RELAXED);
	return w;
}

void object_unref(const struct object *o)
{
	if (o != NULL && __atomic_fetch_sub(&writable(o)->refs, 1, __ATOMIC_ACQ_REL) == 1)
		object_free(writable(o));
}

bool object_is(const struct object *o, const struct update_entry *entry)
{
	return o->wire_kind == entry->kind && o->seq == entry->seq && o->body_n == entry->body_n &&
	       (o->body_n == 0 || memcmp(o->body, entry->body, o->body_n) == 0);
}
