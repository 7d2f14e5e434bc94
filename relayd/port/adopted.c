#include "relayd/port/adopted.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "relayd/loop/service.h"
#include "relayd/port/port_socket.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION "session/"

struct entry {
	struct list link; /* in its socket's list, if it is a session */
	int fd;
	size_t record_n;
	char key[PORT_SOCKET_KEY];
	uint8_t record[];
};

/* A listening socket and its sessions; either may be missing. */
struct bundle {
	char key[PORT_SOCKET_KEY];
	int fd;
	struct list sessions;
};

struct adopted {
	struct map by_key;
	struct entry *lent; /* the last session that was claimed */
};

int adopted_new(struct adopted **out)
{
	struct adopted *a = calloc(1, sizeof *a);

	if (a == NULL)
		return -1;
	map_init(&a->by_key);
	*out = a;
	return 0;
}

static void entry_free(struct entry *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

static void bundle_free(struct bundle *b)
{
	struct list *first;

	while ((first = list_first(&b->sessions)) != NULL) {
		list_remove(first);
		entry_free(CONTAINER_OF(first, struct entry, link));
	}
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

void adopted_free(struct adopted *a)
{
	struct bundle *b;
	size_t it = 0;

	if (a == NULL)
		return;
	while ((b = map_next(&a->by_key, &it)) != NULL)
		bundle_free(b);
	map_free(&a->by_key);
	free(a->lent);
	free(a);
}

static struct bundle *bundle_of(struct adopted *a, const char *key)
{
	struct bundle *b = map_get_str(&a->by_key, key);

	if (b != NULL)
		return b;
	b = calloc(1, sizeof *b);
	if (b == NULL)
		return NULL;
	b->fd = -1;
	list_init(&b->sessions);
	str_copy(b->key, sizeof b->key, key);
	if (map_put_str(&a->by_key, b->key, b, NULL) == 0)
		return b;
	free(b);
	return NULL;
}

static void add_session(struct adopted *a, const struct handover_socket *s)
{
	char key[PORT_SOCKET_KEY], *serial;
	struct entry *x = malloc(sizeof *x + s->record_n);
	struct bundle *b;

	str_copy(key, sizeof key, s->key + strlen(SESSION));
	serial = strrchr(key, '/');
	if (serial != NULL)
		*serial = '\0';
	b = x != NULL ? bundle_of(a, key) : NULL;
	if (b == NULL) {
		close(s->fd);
		free(x);
		return;
	}
	x->fd = s->fd;
	x->record_n = s->record_n;
	str_copy(x->key, sizeof x->key, s->key);
	if (s->record_n > 0)
		memcpy(x->record, s->record, s->record_n);
	list_push_back(&b->sessions, &x->link);
}

void adopted_add(struct adopted *a, const struct handover_socket *s)
{
	struct bundle *b;

	if (str_starts(s->key, SESSION)) {
		add_session(a, s);
		return;
	}
	b = bundle_of(a, s->key);
	if (b == NULL) {
		close(s->fd);
		return;
	}
	if (b->fd >= 0)
		close(b->fd);
	b->fd = s->fd;
}

bool adopted_has(const struct adopted *a, const char *key)
{
	const struct bundle *b = map_get_str(&a->by_key, key);

	return b != NULL && b->fd >= 0;
}

int adopted_claim(struct adopted *a, const char *key)
{
	struct bundle *b = map_get_str(&a->by_key, key);
	int fd = b != NULL ? b->fd : -1;

	if (b != NULL)
		b->fd = -1;
	return fd;
}

bool adopted_claim_session(struct adopted *a, const char *socket_key, struct handover_socket *out)
{
	struct bundle *b = map_get_str(&a->by_key, socket_key);
	struct list *first = b != NULL ? list_first(&b->sessions) : NULL;

	free(a->lent);
	a->lent = NULL;
	if (first == NULL)
		return false;
	list_remove(first);
	a->lent = CONTAINER_OF(first, struct entry, link);
	*out = (struct handover_socket){ .fd = a->lent->fd, .record = a->lent->record, .record_n = a->lent->record_n };
	str_copy(out->key, sizeof out->key, a->lent->key);
	return true;
}
