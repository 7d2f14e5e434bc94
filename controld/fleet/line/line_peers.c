/* What the line and those of other controlds on the database tell each other: peer_msg.h says what. */
#include "common/base/clock.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/line_room.h"
#include "controld/fleet/line/peer_msg.h"
#include "controld/fleet/line/roster.h"
#include "proto/answer.h"
#include "proto/node_state.h"

#include <stdlib.h>
#include <string.h>

#define INBOX_MAX   4096 /* messages on their way into the line */
#define TOGETHER_MS 5    /* states that become known within this time go in one message */
#define HEARD_MS    2000
#define LOADS_MS    300
#define CLOSED_MS   20000 /* relays that were sent away are not let in again: nng would come back at once */

/* ---- out --------------------------------------------------------------------------------------------------------- */

static void tell(struct line *l, const struct buf *b)
{
	if (b->failed)
		log_error("peer_message_too_long", log_u("bytes", b->len));
	else if (l->conf.bus.send != NULL)
		l->conf.bus.send(l->conf.bus.self, b->data, b->len);
}

static void tell_plain(struct line *l, enum peer_msg_type type)
{
	struct buf b;

	buf_init(&b, 16);
	peer_msg_begin(&b, type);
	tell(l, &b);
	buf_free(&b);
}

/* Sends what a list holds, and leaves it empty. */
static void list_send(struct line *l, struct line_list *list)
{
	if (list->n == 0)
		return;
	peer_msg_list_end(&list->bytes, list->count_at, list->n);
	tell(l, &list->bytes);
	buf_reset(&list->bytes);
	list->n = 0;
	list->sent_ms = clock_mono_ms();
}

/* Room in it for so many bytes more; a long message costs more than two short ones. */
static void list_open(struct line *l, struct line_list *list, enum peer_msg_type type, size_t more)
{
	if (list->n > 0 && list->bytes.len + more > LINE_BUS_SHORT)
		list_send(l, list);
	if (list->n > 0)
		return;
	buf_reset(&list->bytes);
	peer_msg_begin(&list->bytes, type);
	peer_msg_list_begin(&list->bytes, &list->count_at);
}

/* A roster_state_fn. */
static void add_state(const char *id, bool online, const void *state, size_t n, void *arg)
{
	struct line *l = arg;

	list_open(l, &l->states, PEER_STATES, n + PROTO_ID_SIZE + 8);
	peer_msg_state(&l->states.bytes, id, online, state, n);
	l->states.n++;
}

void line_peers_state(struct line *l, const char *id)
{
	if (map_count(&l->peers) > 0)
		roster_states(l->conf.roster, id, add_state, l);
}

void line_peers_heard(struct line *l, const char *id)
{
	if (map_count(&l->peers) == 0)
		return;
	list_open(l, &l->heard, PEER_HEARD, PROTO_ID_SIZE + 2);
	peer_msg_id(&l->heard.bytes, id);
	l->heard.n++;
}

/* A roster_fn. */
static void add_load(const struct roster_node *n, void *arg)
{
	struct peer_load load = { .seen_ms = (uint64_t)n->row.seen_ms, .load = n->load };
	struct line *l = arg;

	str_copy(load.node, sizeof load.node, n->row.id);
	str_copy(load.address, sizeof load.address, n->row.address);
	list_open(l, &l->loads, PEER_LOADS, sizeof load);
	peer_msg_load(&l->loads.bytes, &load);
	l->loads.n++;
}

void line_peers_load(struct line *l, const char *id)
{
	struct roster_node n;

	if (map_count(&l->peers) > 0 && roster_get(l->conf.roster, id, &n))
		add_load(&n, l);
}

static void tell_of(struct line *l, enum peer_msg_type type, const char *id, const void *p, size_t n)
{
	struct buf b;

	buf_init(&b, PROTO_MSG_MAX + 2 * PROTO_ID_SIZE);
	peer_msg_of(&b, type, id, p, n);
	tell(l, &b);
	buf_free(&b);
}

void line_peers_answer(struct line *l, const char *id, const void *answer, size_t n)
{
	tell_of(l, PEER_ANSWER, id, answer, n);
}

void line_peers_clients(struct line *l, const char *id, const void *states, size_t n)
{
	if (map_count(&l->peers) > 0)
		tell_of(l, PEER_CLIENTS, id, states, n);
}

/* Those of an ask's nodes that poll elsewhere; an asks_tell_fn. */
static void on_tell(const struct ask *what, const struct asks_node *nodes, size_t n, void *arg)
{
	struct line *l = arg;
	struct buf b;
	size_t count_at;
	uint32_t count = 0;

	buf_init(&b, PROTO_MSG_MAX);
	peer_msg_ask(&b, what);
	peer_msg_list_begin(&b, &count_at);
	for (size_t i = 0; i < n; i++)
		if (roster_is_elsewhere(l->conf.roster, nodes[i].id)) {
			peer_msg_id(&b, nodes[i].id);
			count++;
		}
	peer_msg_list_end(&b, count_at, count);
	if (count > 0)
		tell(l, &b);
	buf_free(&b);
}

void line_peers_asks(struct line *l)
{
	if (map_count(&l->peers) > 0)
		asks_tell(l->conf.asks, clock_mono_ms(), on_tell, l);
}

static bool take_missed(struct line *l)
{
	bool missed;

	pthread_mutex_lock(&l->inbox_lock);
	missed = l->missed;
	l->missed = false;
	pthread_mutex_unlock(&l->inbox_lock);
	return missed;
}

uint64_t line_peers_tick(struct line *l, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;

	if (take_missed(l))
		tell_plain(l, PEER_HELLO);
	if (l->states.n > 0 && now_ms >= l->states.sent_ms + TOGETHER_MS)
		list_send(l, &l->states);
	if (l->heard.n > 0 && now_ms >= l->heard.sent_ms + HEARD_MS)
		list_send(l, &l->heard);
	if (l->loads.n > 0 && now_ms >= l->loads.sent_ms + LOADS_MS)
		list_send(l, &l->loads);
	if (l->states.n > 0)
		next = l->states.sent_ms + TOGETHER_MS;
	if (l->loads.n > 0)
		next = MIN(next, l->loads.sent_ms + LOADS_MS);
	return next;
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static void on_states(struct line *l, const char *from, struct cursor *rows)
{
	struct peer_state said;

	while (peer_msg_next_state(rows, &said)) {
		struct node_state state;
		struct roster_node n;
		struct cursor c;

		cursor_init(&c, said.state, said.n);
		node_state_get(&c, &state);
		if (roster_peer_state(l->conf.roster, said.node, from, said.online, &state) &&
			roster_get(l->conf.roster, said.node, &n)) {
			line_tell_statuses(l, &n, &state);
			line_clients_leave(l, said.node);
			if (!said.online) {
				asks_node_lost(l->conf.asks, said.node);
				line_clients_gone(l, said.node);
			}
		}
		node_state_fini(&state);
	}
}

static void on_heard(struct line *l, struct cursor *rows)
{
	char id[PROTO_ID_SIZE];

	while (peer_msg_next_id(rows, id))
		roster_peer_heard(l->conf.roster, id, clock_mono_ms());
}

static void on_loads(struct line *l, struct cursor *rows)
{
	struct peer_load said;

	while (peer_msg_next_load(rows, &said))
		roster_peer_load(l->conf.roster, said.node, said.address, (int64_t)said.seen_ms, &said.load);
}

static void on_ask(struct line *l, const struct ask *what, struct cursor *rows)
{
	struct asks_node *nodes = calloc(rows->left / 3 + 1, sizeof *nodes);
	size_t n = 0;

	while (nodes != NULL && peer_msg_next_id(rows, nodes[n].id))
		n++;
	if (nodes != NULL) {
		asks_foreign(l->conf.asks, what, nodes, n, clock_mono_ms());
		line_give_asks(l);
	}
	free(nodes);
}

static void on_answer(struct line *l, const struct peer_state *said)
{
	struct msg_answer m;

	if (msg_answer_decode(&m, said->state, said->n) != 0)
		return;
	asks_answer_told(l->conf.asks, said->node, &m);
	msg_answer_fini(&m);
}

static void on_lost(struct line *l, const char *from)
{
	free(map_remove_str(&l->peers, from));
	roster_may_leave_again(l->conf.roster);
	roster_peer_lost(l->conf.roster, from, clock_mono_ms());
}

/* A roster_state_fn. */
static void note_id(const char *id, bool online, const void *state, size_t n, void *arg)
{
	(void)state, (void)n;
	if (online)
		buf_put(arg, id, strlen(id) + 1);
}

/* Where there is no other controld a relay is as well off here: its configuration is the newest there can be. */
static void send_away(struct line *l)
{
	struct buf ids;
	size_t sent = 0;

	if (map_count(&l->peers) == 0)
		return;
	atomic_store(&l->closed_until_ms, clock_mono_ms() + CLOSED_MS);
	buf_init(&ids, PROTO_MSG_MAX);
	roster_states(l->conf.roster, NULL, note_id, &ids);
	for (size_t at = 0; at < ids.len; at += strlen((const char *)ids.data + at) + 1, sent++)
		link_server_close_node(l->link, (const char *)ids.data + at);
	log_warn("relays_sent_away", log_u("relays", sent), log_s("why", "the database cannot be reached from here"));
	buf_free(&ids);
}

/* More of them are here than at others: some go over. */
void line_peers_balance(struct line *l, uint64_t now_ms)
{
	struct balance_view v = { .controlds = map_count(&l->peers) + 1 };
	char(*ids)[PROTO_ID_SIZE];
	size_t n;

	roster_spread(l->conf.roster, &v.here, &v.online, &v.came_back);
	n = balance_step(&l->balance, &v, now_ms);
	if (n == 0 || (ids = calloc(n, sizeof *ids)) == NULL)
		return;
	n = roster_send_away(l->conf.roster, now_ms + BALANCE_AWAY_MS, ids, n);
	for (size_t i = 0; i < n; i++)
		link_server_close_node(l->link, ids[i]);
	free(ids);
	l->moved += n;
	log_info("relays_moved", log_u("relays", n), log_u("here", v.here), log_u("online", v.online),
		log_u("controlds", v.controlds));
}

static void tell_all(struct line *l)
{
	line_peers_state(l, NULL);
	list_send(l, &l->states);
	roster_loads(l->conf.roster, add_load, l);
	list_send(l, &l->loads);
	line_clients_tell_all(l);
}

/* One that was not known until now has not been told anything either. What it has comes first, and is the newer word. */
static void know(struct line *l, const char *from)
{
	char *id = map_get_str(&l->peers, from) == NULL ? strdup(from) : NULL;

	if (id == NULL)
		return;
	if (map_put_str(&l->peers, id, id, NULL) != 0) {
		free(id);
		return;
	}
	log_info("peer_met", log_s("controld", from));
	roster_may_leave_again(l->conf.roster);
	tell_all(l);
	tell_plain(l, PEER_HELLO);
}

static void on_message(struct line *l, const char *from, const void *p, size_t n)
{
	struct peer_msg m;

	if (peer_msg_decode(&m, p, n) != 0) {
		l->malformed++;
		return;
	}
	if (m.type == PEER_BYE) {
		on_lost(l, from);
		return;
	}
	know(l, from);
	if (m.type == PEER_HELLO)
		tell_all(l);
	else if (m.type == PEER_STATES)
		on_states(l, from, &m.rows);
	else if (m.type == PEER_HEARD)
		on_heard(l, &m.rows);
	else if (m.type == PEER_LOADS)
		on_loads(l, &m.rows);
	else if (m.type == PEER_ASK)
		on_ask(l, &m.ask, &m.rows);
	else if (m.type == PEER_CLIENTS)
		line_clients_hear(l, m.of.node, m.of.state, m.of.n);
	else
		on_answer(l, &m.of);
}

/* ---- the way in -------------------------------------------------------------------------------------------------- */

struct said {
	struct list link; /* in line.inbox */
	enum line_peer_event event;
	char from[RAND_ID_SIZE];
	size_t n;
	uint8_t bytes[];
};

/* The database is there (again): what the others said meanwhile is asked for. */
static void on_gap(struct line *l)
{
	atomic_store(&l->closed_until_ms, 0);
	tell_plain(l, PEER_HELLO);
}

static struct said *inbox_take(struct line *l)
{
	struct list *first;

	pthread_mutex_lock(&l->inbox_lock);
	first = list_first(&l->inbox);
	if (first != NULL) {
		list_remove(first);
		l->n_inbox--;
	}
	pthread_mutex_unlock(&l->inbox_lock);
	return first == NULL ? NULL : CONTAINER_OF(first, struct said, link);
}

static void open_said(struct letter *letter)
{
	struct line *l = CONTAINER_OF(letter, struct line, said);
	struct said *s;

	while (!l->stopping && (s = inbox_take(l)) != NULL) {
		if (s->event == LINE_PEER_MESSAGE)
			on_message(l, s->from, s->bytes, s->n);
		else if (s->event == LINE_PEER_LOST)
			on_lost(l, s->from);
		else if (s->event == LINE_SEND_AWAY)
			send_away(l);
		else
			on_gap(l);
		free(s);
	}
}

void line_peer(struct line *l, enum line_peer_event event, const char *from, const void *p, size_t n)
{
	struct said *s = from != NULL && str_eq(from, l->conf.self) ? NULL : calloc(1, sizeof *s + n);

	if (s == NULL)
		return;
	list_init(&s->link);
	s->event = event;
	str_copy(s->from, sizeof s->from, from != NULL ? from : "");
	s->n = n;
	if (n > 0)
		memcpy(s->bytes, p, n);
	pthread_mutex_lock(&l->inbox_lock);
	if (l->n_inbox < INBOX_MAX) {
		list_push_back(&l->inbox, &s->link);
		l->n_inbox++;
		s = NULL;
	} else {
		l->missed = true; /* what is missing is asked for again */
	}
	pthread_mutex_unlock(&l->inbox_lock);
	free(s);
	mailbox_post(l->mailbox, &l->said);
}

void line_leave(struct line *l)
{
	tell_plain(l, PEER_BYE);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void line_peers_init(struct line *l)
{
	pthread_mutex_init(&l->inbox_lock, NULL);
	list_init(&l->inbox);
	letter_init(&l->said, open_said);
	map_init(&l->peers);
	map_init(&l->clients);
	buf_init(&l->states.bytes, PROTO_MSG_MAX);
	buf_init(&l->heard.bytes, PROTO_MSG_MAX);
	buf_init(&l->loads.bytes, PROTO_MSG_MAX);
}

void line_peers_fini(struct line *l)
{
	struct said *s;
	size_t it = 0;
	char *id;

	while ((s = inbox_take(l)) != NULL)
		free(s);
	while ((id = map_next(&l->peers, &it)) != NULL)
		free(id);
	map_free(&l->peers);
	line_clients_fini(l);
	buf_free(&l->states.bytes);
	buf_free(&l->heard.bytes);
	buf_free(&l->loads.bytes);
	pthread_mutex_destroy(&l->inbox_lock);
}
