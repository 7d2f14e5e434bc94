#include "controld/store/watch.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"
#include "controld/store/driver_watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define WATCH_LOOK_MS   1000 /* the log's end is looked at so often, whatever is heard */
#define WATCH_RETRY_MS  100  /* up to WATCH_RETRY_MAX, doubling */
#define WATCH_RETRY_MAX 2000
#define WATCH_STALE_MS  2000 /* what could not be sent in this time says how things were */
#define WATCH_QUEUE_MAX 1024
#define WATCH_TEXT_MAX  7999 /* PostgreSQL takes notifications of less than 8000 bytes */
#define WATCH_KEEP_MS   60000

/* A message on its way out. */
struct outgoing {
	struct list link;
	uint64_t since_ms;
	size_t n;
	uint8_t bytes[];
};

struct watch {
	struct store *store;
	const char *self;
	const struct watch_ops *ops;
	void *owner;
	pthread_t thread;
	bool started;
	int wake;      /* eventfd */
	struct db *db; /* the thread's; NULL while there is none */
	int64_t seq;   /* newest change that is known of */
	uint64_t look_ms;
	uint64_t away_ms;              /* when to say next that the database is away; 0: it is not */
	char text[WATCH_TEXT_MAX + 1]; /* reused */
	pthread_mutex_t lock;          /* of what follows */
	struct list queue;
	size_t queued;
	bool stopping, gap;
	struct watch_stats stats;
};

static const char sql_put[] = "INSERT INTO peer_messages(id, body, created_ms) VALUES (?1, ?2, ?3)";
static const char sql_get[] = "SELECT body FROM peer_messages WHERE id = ?1";
static const char sql_clean[] = "DELETE FROM peer_messages WHERE created_ms < ?1";

static const char *const statements[] = { sql_put, sql_get, sql_clean };
const struct sql_table watch_sql = { "watch", statements, ARRAY_LEN(statements) };

static const struct driver_watch *watch_driver(const struct watch *w)
{
	return store_driver(w->store)->watch;
}

bool watch_shared(const struct watch *w)
{
	return watch_driver(w) != NULL;
}

static void count(struct watch *w, uint64_t *counter)
{
	pthread_mutex_lock(&w->lock);
	++*counter;
	pthread_mutex_unlock(&w->lock);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

void watch_send(struct watch *w, const void *p, size_t n)
{
	struct outgoing *out;
	uint64_t one = 1;
	bool room;

	if (!watch_shared(w))
		return;
	out = malloc(sizeof *out + n);
	if (out != NULL) {
		list_init(&out->link);
		out->since_ms = clock_mono_ms();
		out->n = n;
		memcpy(out->bytes, p, n);
	}
	pthread_mutex_lock(&w->lock);
	room = out != NULL && w->queued < WATCH_QUEUE_MAX;
	if (room) {
		list_push_back(&w->queue, &out->link);
		w->queued++;
	} else {
		w->gap = true;
		w->stats.dropped++;
	}
	pthread_mutex_unlock(&w->lock);
	if (!room)
		free(out);
	(void)!write(w->wake, &one, sizeof one);
}

static struct outgoing *queue_take(struct watch *w)
{
	struct list *first;

	pthread_mutex_lock(&w->lock);
	first = list_first(&w->queue);
	if (first != NULL) {
		list_remove(first);
		w->queued--;
	}
	pthread_mutex_unlock(&w->lock);
	return first != NULL ? CONTAINER_OF(first, struct outgoing, link) : NULL;
}

/* "<from> <base64>", or "<from> #<id>" of a row that holds what is too long for a notification. */
static int send_one(struct watch *w, const struct outgoing *out, struct err *e)
{
	size_t head = strlen(w->self) + 1;
	char id[RAND_ID_SIZE];

	if (head + str_b64url_len(out->n) <= WATCH_TEXT_MAX) {
		(void)str_fmt(w->text, sizeof w->text, "%s ", w->self);
		str_b64url(w->text + head, out->bytes, out->n);
	} else {
		rand_id(id, "msg");
		if (db_exec(w->db, sql_put, e, bind_s(id), bind_b(out->bytes, out->n), bind_i(clock_wall_ms())) < 0)
			return -1;
		(void)str_fmt(w->text, sizeof w->text, "%s #%s", w->self, id);
	}
	return db_exec(w->db, watch_driver(w)->send, e, bind_s(WATCH_PEERS), bind_s(w->text)) < 0 ? -1 : 0;
}

static int send_all(struct watch *w, struct err *e)
{
	struct outgoing *out;
	int rc = 0;

	while (rc == 0 && (out = queue_take(w)) != NULL) {
		bool stale = clock_mono_ms() - out->since_ms > WATCH_STALE_MS;

		if (!stale)
			rc = send_one(w, out, e);
		pthread_mutex_lock(&w->lock);
		w->gap = w->gap || stale || rc != 0;
		w->stats.sent += !stale && rc == 0;
		w->stats.dropped += stale || rc != 0;
		pthread_mutex_unlock(&w->lock);
		free(out);
	}
	return rc;
}

/* ---- hearing ----------------------------------------------------------------------------------------------------- */

static void tell_changes(struct watch *w, int64_t seq, const char *kinds)
{
	w->seq = MAX(w->seq, seq);
	w->ops->on_kinds(w->owner, kinds);
	changes_tell(w->store, seq);
}

/* "<from> <seq> <kinds>" */
static void on_changes(struct watch *w, char *text)
{
	char *save = NULL, *from = strtok_r(text, " ", &save), *number = strtok_r(NULL, " ", &save);
	int64_t seq;

	if (from == NULL || number == NULL || str_to_i64(number, 0, INT64_MAX, &seq) != 0)
		return;
	w->seq = MAX(w->seq, seq);
	if (str_eq(from, w->self))
		return;
	count(w, &w->stats.wakes);
	tell_changes(w, seq, strtok_r(NULL, " ", &save));
}

static int read_long(struct watch *w, const char *from, const char *id, struct err *e)
{
	struct query *q;
	const void *p;
	size_t n;
	int rc;

	if (db_query(w->db, &q, sql_get, e, bind_s(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && (p = query_blob(q, 0, &n)) != NULL)
		w->ops->on_message(w->owner, from, p, n);
	query_end(q);
	return rc < 0 ? -1 : 0;
}

static int on_peers(struct watch *w, char *text, struct err *e)
{
	char *save = NULL, *from = strtok_r(text, " ", &save), *body = strtok_r(NULL, " ", &save);
	int n;

	if (from == NULL || body == NULL || str_eq(from, w->self))
		return 0;
	count(w, &w->stats.received);
	if (*body == '#')
		return read_long(w, from, body + 1, e);
	n = str_unb64url(body, strlen(body), body, strlen(body)); /* what comes out is shorter than what goes in */
	if (n > 0)
		w->ops->on_message(w->owner, from, body, (size_t)n);
	return 0;
}

static int hear_all(struct watch *w, struct err *e)
{
	const char *channel, *text;
	int rc;

	while ((rc = watch_driver(w)->next(w->db->conn, &channel, &text, e)) == 1) {
		bool changes = str_eq(channel, WATCH_CHANGES);

		if (str_copy(w->text, sizeof w->text, text) != 0)
			continue;
		if (changes)
			on_changes(w, w->text);
		else if (on_peers(w, w->text, e) != 0)
			return -1;
	}
	return rc;
}

/* A commit that nobody told of: a wake-up was lost, or it was made before we listened. */
static int look(struct watch *w, struct err *e)
{
	int64_t seq = 0;
	uint8_t log_id[CHANGES_LOG_ID_SIZE];

	if (changes_last(w->db, &seq, log_id, e) != 0)
		return -1;
	if (seq > w->seq) {
		if (w->seq > 0)
			count(w, &w->stats.missed);
		tell_changes(w, seq, NULL);
	}
	w->look_ms = clock_mono_ms() + WATCH_LOOK_MS;
	return 0;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool take_flag(struct watch *w, bool *flag)
{
	bool was;

	pthread_mutex_lock(&w->lock);
	was = *flag;
	*flag = false;
	pthread_mutex_unlock(&w->lock);
	return was;
}

static bool is_stopping(struct watch *w)
{
	bool stopping;

	pthread_mutex_lock(&w->lock);
	stopping = w->stopping;
	pthread_mutex_unlock(&w->lock);
	return stopping;
}

static void sleep_until(struct watch *w, uint64_t mono_ms)
{
	struct pollfd fds[] = { { .fd = w->wake, .events = POLLIN },
		{ .fd = w->db != NULL ? watch_driver(w)->fd(w->db->conn) : -1, .events = POLLIN } };
	uint64_t now = clock_mono_ms(), n;

	if (poll(fds, ARRAY_LEN(fds), mono_ms > now ? (int)MIN(mono_ms - now, 10000u) : 0) < 0 && errno != EINTR)
		log_error("watch_poll_failed", log_u("errno", (uint64_t)errno));
	if (fds[0].revents != 0)
		(void)!read(w->wake, &n, sizeof n);
}

static int connect_and_listen(struct watch *w, struct err *e)
{
	if (store_open_db(w->store, &w->db, e) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(watch_driver(w)->listen); i++)
		if (db_exec(w->db, watch_driver(w)->listen[i], e) < 0)
			return -1;
	if (look(w, e) != 0)
		return -1;
	w->ops->on_gap(w->owner);
	return 0;
}

/* One round on a connection that stands. */
static int turn(struct watch *w, struct err *e)
{
	if (send_all(w, e) != 0)
		return -1;
	if (take_flag(w, &w->gap))
		w->ops->on_gap(w->owner);
	if (clock_mono_ms() >= w->look_ms && look(w, e) != 0)
		return -1;
	return hear_all(
		w, e); /* last: an answer to what was asked may have brought news along, and left nothing to poll */
}

static void lose(struct watch *w, const struct err *e)
{
	if (w->away_ms == 0) {
		log_warn("watch_lost", log_err(e));
		w->away_ms = clock_mono_ms() + WATCH_AWAY_MS;
	} else if (clock_mono_ms() >= w->away_ms) {
		w->ops->on_away(w->owner);
		w->away_ms = clock_mono_ms() + WATCH_AWAY_AGAIN_MS;
	}
	db_free(w->db);
	w->db = NULL;
	count(w, &w->stats.reconnects);
}

static void *work_watch(void *arg)
{
	struct watch *w = arg;
	uint64_t pause_ms = WATCH_RETRY_MS;

	prctl(PR_SET_NAME, "watch");
	while (!is_stopping(w)) {
		struct err e = { 0 };
		int rc = w->db != NULL ? 0 : connect_and_listen(w, &e);

		if (rc == 0)
			rc = turn(w, &e);
		if (rc == 0) {
			pause_ms = WATCH_RETRY_MS;
			w->away_ms = 0;
			sleep_until(w, w->look_ms);
			continue;
		}
		lose(w, &e);
		sleep_until(w, clock_mono_ms() + pause_ms);
		pause_ms = MIN(pause_ms * 2, (uint64_t)WATCH_RETRY_MAX);
	}
	if (w->db != NULL)
		(void)send_all(w, NULL); /* that we are leaving */
	return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int watch_new(struct watch **out, struct store *store, const char *self, struct err *e)
{
	struct watch *w = calloc(1, sizeof *w);

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "watch: out of memory");
	w->store = store;
	w->self = self;
	pthread_mutex_init(&w->lock, NULL);
	list_init(&w->queue);
	if ((w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
		err_set_sys(e, ERR_INTERNAL, errno, "watch");
		goto fail;
	}
	*out = w;
	return 0;
fail:
	watch_free(w);
	return -1;
}

int watch_start(struct watch *w, const struct watch_ops *ops, void *owner, struct err *e)
{
	int rc;

	w->ops = ops;
	w->owner = owner;
	if (!watch_shared(w))
		return 0;
	rc = pthread_create(&w->thread, NULL, work_watch, w);
	if (rc != 0)
		return err_set_sys(e, ERR_INTERNAL, rc, "watch: start a thread");
	w->started = true;
	return 0;
}

void watch_stop(struct watch *w)
{
	uint64_t one = 1;

	if (!w->started)
		return;
	w->started = false;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_mutex_unlock(&w->lock);
	(void)!write(w->wake, &one, sizeof one);
	pthread_join(w->thread, NULL);
	db_free(w->db);
	w->db = NULL;
}

void watch_free(struct watch *w)
{
	struct outgoing *out;

	if (w == NULL)
		return;
	watch_stop(w);
	while ((out = queue_take(w)) != NULL)
		free(out);
	if (w->wake >= 0)
		close(w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void watch_stats(struct watch *w, struct watch_stats *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->stats;
	pthread_mutex_unlock(&w->lock);
}

static int work_clean(struct db *tx, void *arg, struct err *e)
{
	const int64_t *now_ms = arg;

	return db_exec(tx, sql_clean, e, bind_i(*now_ms - WATCH_KEEP_MS)) < 0 ? -1 : 0;
}

int watch_clean(struct store *store, int64_t now_ms, struct err *e)
{
	return store_write(store, STORE_OPERATIONAL, work_clean, &now_ms, e);
}
