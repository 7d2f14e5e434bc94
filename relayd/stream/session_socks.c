#include "relayd/stream/session_inside.h"

#include "common/base/err.h"
#include "common/tunnel/stream_side.h"
#include "relayd/stream/session_udp.h"

/* Why a request could not be met, in the words of RFC 1928. */
static enum socks5_code socks_code(const struct session *s, enum session_end why)
{
	if (why == END_SHUT)
		return SOCKS5_NOT_ALLOWED;
	switch (why == END_TARGET ? s->target_code : ERR_NONE) {
	case ERR_DENIED_TARGET:
		return SOCKS5_NOT_ALLOWED;
	case ERR_TARGET_REFUSED:
		return SOCKS5_REFUSED;
	case ERR_NO_ROUTE:
		return SOCKS5_NO_NETWORK;
	case ERR_NONE:
		return SOCKS5_FAILED;
	default:
		return SOCKS5_NO_HOST;
	}
}

/* An answer instead of a reset, while the client waits for one. */
bool session_socks_farewell(struct session *s, enum session_end why)
{
	if (s->socks == NULL || !side_is_open(&s->side[CLIENT]) || why == END_RESET || why == END_DONE)
		return false;
	if (s->socks->answered && s->flow[GATE_OUT].bytes + s->flow[GATE_IN].bytes > 0)
		return false;
	(void)!socks_answer(s->socks, &s->side[CLIENT], socks_code(s, why), NULL);
	return s->side[CLIENT].ops == NULL && why != END_CUT && why != END_TIMED_OUT;
}

/* The client says who he is and where to; then the way is that of any session. */
void session_socks_talk(struct session *s)
{
	switch (socks_talk(s->socks, &s->side[CLIENT], session_worker(s), session_conf(s))) {
	case SOCKS_WAITS:
		return;
	case SOCKS_ASKS:
		dial_init(&s->dial, s->socks->request.port, session_conf(s)->connect_timeout_ms,
			session_worker(s)->now_ns);
		session_target_begin(s);
		return;
	case SOCKS_SENDS:
		session_udp_begin(s);
		return;
	case SOCKS_STRANGER:
		session_close(s, END_LOGIN);
		return;
	case SOCKS_DENIED:
		session_close(s, END_DESTINATION);
		return;
	case SOCKS_BROKEN:
		session_close(s, END_PROTOCOL);
		return;
	case SOCKS_ENDS:
		session_close(s, END_DONE);
	}
}
