/* What other controlds say of the nodes, and which of ours they are to have. */
#include "common/base/str.h"
#include "controld/fleet/line/roster_room.h"

#include <string.h>

bool roster_is_elsewhere(struct roster *r, const char *id)
{
	const struct roster_entry *n;
	bool elsewhere;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	elsewhere = n != NULL && !n->node.here && n->node.peer[0] != '\0' && n->node.row.online && !n->awaited;
	pthread_mutex_unlock(&r->lock);
	return elsewhere;
}

bool roster_peer_state(struct roster *r, const char *id, const char *peer, bool online, const struct node_state *s)
{
	struct roster_entry *n;
	bool taken;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	/* that it is gone is for the one to say who has it: from any other it is old news */
	taken = n != NULL && n->node.row.standing == NODE_JOINED &&
	        (online || (!n->node.here && strcmp(n->node.peer, peer) == 0));
	if (taken) {
		str_copy(n->node.peer, sizeof n->node.peer, peer);
		r->claims -= n->node.claim;
		n->node.here = n->node.claim = n->awaited = false;
		n->node.known = true;
		roster_set_online(r, n, online);
		n->sent_away = n->sent_away && !online;
		n->dirty = false; /* it is for that one to write it down */
		roster_take_state(n, s);
	}
	pthread_mutex_unlock(&r->lock);
	return taken;
}

static bool polls_here(const struct roster_entry *n)
{
	return n->node.here && n->node.row.online && n->node.row.standing == NODE_JOINED;
}

void roster_spread(struct roster *r, size_t *here, size_t *online, size_t *came_back)
{
	const struct roster_entry *n;
	size_t it = 0;

	*here = *came_back = 0;
	pthread_mutex_lock(&r->lock);
	*online = r->online;
	while ((n = map_next(&r->nodes, &it)) != NULL)
		if (polls_here(n)) {
			++*here;
			*came_back += n->sent_away;
		}
	pthread_mutex_unlock(&r->lock);
}

void roster_may_leave_again(struct roster *r)
{
	struct roster_entry *n;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	while ((n = map_next(&r->nodes, &it)) != NULL)
		n->sent_away = false;
	pthread_mutex_unlock(&r->lock);
}

/* Any of them is as good: the order of the map is that of a hash of their ids. */
size_t roster_send_away(struct roster *r, uint64_t until_ms, char (*ids)[PROTO_ID_SIZE], size_t most)
{
	size_t chosen = 0, it = 0;
	struct roster_entry *n;

	pthread_mutex_lock(&r->lock);
	while (chosen < most && (n = map_next(&r->nodes, &it)) != NULL)
		if (polls_here(n) && !n->sent_away) {
			n->sent_away = true;
			n->closed_ms = until_ms;
			str_copy(ids[chosen++], sizeof ids[0], n->node.row.id);
		}
	pthread_mutex_unlock(&r->lock);
	return chosen;
}

void roster_peer_heard(struct roster *r, const char *id, uint64_t now_ms)
{
	struct roster_entry *n;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	if (n != NULL && n->node.here && n->node.row.online)
		n->heard_ms = now_ms;
	pthread_mutex_unlock(&r->lock);
}

void roster_peer_load(struct roster *r, const char *id, const char *at, int64_t seen_ms, const struct node_load *load)
{
	struct roster_entry *n;

	pthread_mutex_lock(&r->lock);
	n = map_get_str(&r->nodes, id);
	if (n != NULL) {
		n->told_ms = 0;
		roster_take_load(n, load, seen_ms);
		if (!n->node.here && at[0] != '\0')
			str_copy(n->node.row.address, sizeof n->node.row.address, at);
	}
	pthread_mutex_unlock(&r->lock);
}

void roster_peer_lost(struct roster *r, const char *peer, uint64_t now_ms)
{
	struct roster_entry *n;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	while ((n = map_next(&r->nodes, &it)) != NULL) {
		if (n->node.here || n->awaited || !n->node.row.online || strcmp(n->node.peer, peer) != 0)
			continue;
		n->awaited = true;
		n->heard_ms = now_ms;
	}
	pthread_mutex_unlock(&r->lock);
}

void roster_forgive(struct roster *r, uint64_t now_ms)
{
	struct roster_entry *n;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	while ((n = map_next(&r->nodes, &it)) != NULL)
		n->heard_ms = now_ms;
	pthread_mutex_unlock(&r->lock);
}

static void say_state(const struct roster_entry *n, roster_state_fn fn, void *arg)
{
	if (n != NULL && n->node.here && n->state.len > 0)
		fn(n->node.row.id, n->node.row.online, n->state.data, n->state.len, arg);
}

void roster_states(struct roster *r, const char *id, roster_state_fn fn, void *arg)
{
	const struct roster_entry *n;
	size_t it = 0;

	pthread_mutex_lock(&r->lock);
	if (id != NULL)
		say_state(map_get_str(&r->nodes, id), fn, arg);
	while (id == NULL && (n = map_next(&r->nodes, &it)) != NULL)
		say_state(n, fn, arg);
	pthread_mutex_unlock(&r->lock);
}

bool roster_has_claims(struct roster *r)
{
	bool any;

	pthread_mutex_lock(&r->lock);
	any = r->claims > 0;
	pthread_mutex_unlock(&r->lock);
	return any;
}
