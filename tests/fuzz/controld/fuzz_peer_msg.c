/* What another controld tells, perhaps a newer one: what is taken is encoded to the same bytes again. */
#include "controld/fleet/line/peer_msg.h"
#include "tests/fuzz/fuzz.h"

static void put_again(struct peer_msg *m, struct buf *b)
{
	struct peer_state s;
	struct peer_load l;
	char id[PROTO_ID_SIZE];
	size_t count_at;
	uint32_t n = 0;

	if (m->type == PEER_ANSWER || m->type == PEER_CLIENTS) {
		peer_msg_of(b, m->type, m->of.node, m->of.state, m->of.n);
		return;
	}
	if (m->type == PEER_ASK)
		peer_msg_ask(b, &m->ask);
	else
		peer_msg_begin(b, m->type);
	if (m->type == PEER_HELLO || m->type == PEER_BYE)
		return;
	peer_msg_list_begin(b, &count_at);
	for (; m->type == PEER_STATES && peer_msg_next_state(&m->rows, &s); n++)
		peer_msg_state(b, s.node, s.online, s.state, s.n);
	for (; m->type == PEER_LOADS && peer_msg_next_load(&m->rows, &l); n++)
		peer_msg_load(b, &l);
	for (; m->type != PEER_STATES && m->type != PEER_LOADS && peer_msg_next_id(&m->rows, id); n++)
		peer_msg_id(b, id);
	peer_msg_list_end(b, count_at, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer_msg m;
	struct buf b;

	if (peer_msg_decode(&m, data, size) != 0)
		return 0;
	buf_init(&b, size + 16);
	put_again(&m, &b);
	fuzz_check_same(&b, data, size);
	return 0;
}
