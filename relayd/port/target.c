#include "relayd/port/target.h"

#include "common/base/str.h"

#include <netdb.h>
#include <stdlib.h>

#define FAILED_NS UINT64_C(1000000000) /* the resolver is not asked again before */

/* Outlives the target if need be: libuv cannot take back a query that a thread works on. */
struct target_query {
	uv_getaddrinfo_t req;
	struct target *target; /* NULL: nobody wants it any more */
};

void targets_unref(struct targets *t)
{
	if (t != NULL && --t->refs == 0)
		free(t);
}

static struct targets *targets_new(unsigned n)
{
	struct targets *t = malloc(sizeof *t + n * sizeof t->at[0]);

	if (t != NULL)
		*t = (struct targets){ .refs = 1 };
	return t;
}

void target_init(struct target *t, struct worker *w)
{
	*t = (struct target){ .worker = w };
	list_init(&t->waiting);
}

static void forget(struct target *t)
{
	if (t->query != NULL) {
		t->query->target = NULL;
		uv_cancel((uv_req_t *)&t->query->req);
		t->query = NULL;
	}
	targets_unref(t->known);
	t->known = NULL;
	t->fresh_until_ns = 0;
}

void target_fini(struct target *t)
{
	forget(t);
}

void target_set(struct target *t, const char *host)
{
	bool same = t->host != NULL && str_eq(t->host, host);
	struct addr a;

	t->host = host;
	if (same)
		return;
	forget(t);
	if (addr_parse_ip(&a, host, 0) != 0)
		return;
	t->known = targets_new(1);
	if (t->known == NULL)
		return;
	t->known->at[t->known->n++] = a;
	t->fresh_until_ns = UINT64_MAX;
}

static struct targets *targets_from(const struct addrinfo *list)
{
	struct targets *t = targets_new(TARGETS_MAX);

	for (; t != NULL && list != NULL && t->n < TARGETS_MAX; list = list->ai_next)
		if (list->ai_family == AF_INET || list->ai_family == AF_INET6)
			addr_from_sockaddr(&t->at[t->n++], list->ai_addr, list->ai_addrlen);
	return t;
}

static void wake_waiting(struct target *t)
{
	struct list *first;

	while ((first = list_first(&t->waiting)) != NULL) {
		list_remove(first);
		worker_again(t->worker, CONTAINER_OF(first, struct task, link));
	}
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct target_query *q = CONTAINER_OF(req, struct target_query, req);
	struct target *t = q->target;

	free(q);
	if (t != NULL) {
		struct targets *got = status == 0 ? targets_from(list) : NULL;

		t->query = NULL;
		t->fresh_until_ns = t->worker->now_ns + (got != NULL ? TARGET_TTL_NS : FAILED_NS);
		if (got != NULL) {
			targets_unref(t->known);
			t->known = got;
		}
		wake_waiting(t);
	}
	uv_freeaddrinfo(list);
}

static int ask(struct target *t)
{
	static const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct target_query *q = malloc(sizeof *q);

	if (q == NULL)
		return -1;
	q->target = t;
	if (uv_getaddrinfo(&t->worker->uv, &q->req, on_resolved, t->host, NULL, &hints) != 0) {
		free(q);
		return -1;
	}
	t->query = q;
	return 0;
}

enum target_answer target_get(struct target *t, struct task *wait, struct targets **out)
{
	if (t->worker->now_ns < t->fresh_until_ns) {
		if (t->known == NULL || t->known->n == 0)
			return TARGET_FAILED;
		t->known->refs++;
		*out = t->known;
		return TARGET_KNOWN;
	}
	if (t->query == NULL && ask(t) != 0)
		return TARGET_FAILED;
	list_remove(&wait->link);
	list_push_back(&t->waiting, &wait->link);
	return TARGET_WAIT;
}
