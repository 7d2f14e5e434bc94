#include "common/nng/nng_handshakes.h"

#include "common/base/clock.h"
#include "common/base/macros.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>

/*
 * One per process, as nng's engine is. Lock order: this lock, then nng's of a connection. So what nng calls with the
 * latter held, nng_handshake_done(), only leaves a mark.
 */
static struct {
	pthread_mutex_t lock;
	struct list all; /* oldest first */
	size_t n;
} handshakes = { PTHREAD_MUTEX_INITIALIZER, { &handshakes.all, &handshakes.all }, 0 };

/* With the lock. */
static void take_out(struct nng_handshake *h)
{
	list_remove(&h->link);
	list_init(&h->link);
	handshakes.n--;
}

void nng_handshake_begin(struct nng_handshake *h, void *stream)
{
	h->stream = stream;
	h->since_ms = clock_mono_ms();
	atomic_init(&h->done, false);
	pthread_mutex_lock(&handshakes.lock);
	list_push_back(&handshakes.all, &h->link);
	handshakes.n++;
	pthread_mutex_unlock(&handshakes.lock);
}

void nng_handshake_done(struct nng_handshake *h)
{
	atomic_store(&h->done, true);
}

void nng_handshake_end(struct nng_handshake *h)
{
	if (h->stream == NULL)
		return;
	pthread_mutex_lock(&handshakes.lock);
	if (!list_empty(&h->link))
		take_out(h);
	pthread_mutex_unlock(&handshakes.lock);
}

/* nng waits in nng_handshake_end() before it frees a connection, so those in the list are there. */
size_t nng_handshakes_shed(uint64_t before_ms, size_t most)
{
	size_t shed = 0;

	pthread_mutex_lock(&handshakes.lock);
	LIST_FOREACH_SAFE (it, &handshakes.all)
		if (atomic_load(&CONTAINER_OF(it, struct nng_handshake, link)->done))
			take_out(CONTAINER_OF(it, struct nng_handshake, link));
	LIST_FOREACH_SAFE (it, &handshakes.all) {
		struct nng_handshake *h = CONTAINER_OF(it, struct nng_handshake, link);

		if (h->since_ms >= before_ms && handshakes.n <= most)
			break;
		take_out(h);
		nng_stream_close(h->stream);
		shed++;
	}
	pthread_mutex_unlock(&handshakes.lock);
	return shed;
}
