#include "relayd/datagram/udp_session_inside.h"

#include "common/net/allowance.h"
#include "common/tunnel/mux.h"
#include "common/uv/udp_send.h"
#include "relayd/tunnel/client_gate.h"

#define UDP_ADOPTED_ANSWERS 65536 /* bytes to a predecessor's client, whose questions were not counted here */

struct udp_counters {
	enum meter_counter bytes, packets, dropped;
};
static const struct udp_counters counters[] = {
	[GATE_IN] = { METER_bytes_in, METER_packets_in, METER_dropped_in },
	[GATE_OUT] = { METER_bytes_out, METER_packets_out, METER_dropped_out },
};

/* As udp_send(). */
static uint64_t send_to_agent(struct stream *to, const struct iovec *d, unsigned n)
{
	uint64_t taken = 0;

	for (unsigned i = 0; i < n; i++)
		if (stream_datagram(to, d[i].iov_base, d[i].iov_len))
			taken |= UINT64_C(1) << i;
	return taken;
}

/*
 * The only place that counts a session's bytes: before the kernel has them, and what it did not take is taken back, so
 * that a process killed in between has counted at least what was delivered (relayd/stream/flow.c says more).
 * headers: bytes of PROXY headers in front of the first `headed` datagrams, which are not the client's.
 */
void udp_session_send(struct udp_session *s, enum gate_way way, struct udp_route *route, struct iovec *d, unsigned n,
	size_t header, unsigned headed)
{
	const struct udp_counters *c = &counters[way];
	uint64_t bytes = 0, lost = 0, taken;
	unsigned n_lost = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += d[i].iov_len - (i < headed ? header : 0);
	udp_lane_count(s->lane, c->bytes, bytes);
	udp_lane_count(s->lane, c->packets, n);
	if (s->lane->allowance != NULL)
		allowance_count(s->lane->allowance, bytes);
	route->segments = s->segments[way];
	taken = route->fd >= 0 ? udp_send(route, d, n) : send_to_agent(way == GATE_IN ? s->stream : s->visitor, d, n);
	s->segments[way] = route->segments;
	for (unsigned i = 0; i < n; i++) {
		if (taken & UINT64_C(1) << i)
			continue;
		lost += d[i].iov_len - (i < headed ? header : 0);
		n_lost++;
	}
	s->bytes[way] += bytes - lost;
	if (n_lost == 0)
		return;
	udp_lane_count(s->lane, c->bytes, -lost);
	if (s->lane->allowance != NULL) {
		allowance_count(s->lane->allowance, -lost);
		allowance_give(s->lane->allowance, lost);
	}
	udp_lane_count(s->lane, c->packets, -(uint64_t)n_lost);
	udp_lane_count(s->lane, c->dropped, n_lost);
}

/* What the owner's quota lets through, moved together at the front. */
static unsigned pass_quota(struct udp_session *s, enum gate_way way, struct iovec *d, unsigned n)
{
	struct allowance *a = s->lane->allowance;
	unsigned kept = 0;

	if (a == NULL)
		return n;
	for (unsigned i = 0; i < n; i++)
		if (allowance_spend(a, d[i].iov_len))
			d[kept++] = d[i];
	udp_lane_count(s->lane, counters[way].dropped, n - kept);
	return kept;
}

/* Of the target's client [0], or the source's [1]; NULL: none. What comes in comes from the source's agent. */
static struct rate *rate_of(const struct udp_session *s, unsigned which, enum gate_way way)
{
	if (s->client[which] == NULL)
		return NULL;
	return &s->client[which]->rate[which == 0 ? way : !way];
}

/* The mapping's rate and those of the clients at both ends, or none of them. */
static bool take_rates(struct udp_session *s, enum gate_way way, size_t n)
{
	struct rate *rates[] = { &udp_lane_gate(s->lane)->rate[way], rate_of(s, 0, way), rate_of(s, 1, way) };
	struct rate_slice *slices[] = { &s->lane->slice[way], &s->lane->shared[0][way], &s->lane->shared[1][way] };

	for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
		if (rates[i] == NULL || rate_take_whole(rates[i], slices[i], n, udp_session_worker(s)->now_ns))
			continue;
		while (i-- > 0)
			if (rates[i] != NULL)
				rate_give(rates[i], slices[i], n);
		return false;
	}
	return true;
}

static bool has_rates(const struct udp_session *s, enum gate_way way)
{
	bool has = rate_limits(&udp_lane_gate(s->lane)->rate[way]);

	for (unsigned i = 0; i < ARRAY_LEN(s->client); i++)
		has = has || (s->client[i] != NULL && rate_limits(rate_of(s, i, way)));
	return has;
}

/* What the rates let through, moved together at the front. */
static unsigned pass_rate(struct udp_session *s, enum gate_way way, struct iovec *d, unsigned n)
{
	unsigned kept = 0;

	if (!has_rates(s, way))
		return n;
	for (unsigned i = 0; i < n; i++)
		if (take_rates(s, way, d[i].iov_len))
			d[kept++] = d[i];
	udp_lane_count(s->lane, counters[way].dropped, n - kept);
	return kept;
}

/*
 * Whoever answers an address that only claimed to have asked is a weapon. Nothing that a client sends proves here that it is where it
 * says: what another one can forge once, he can forge again, at any pace. So each of its bytes pays for so many of the answers, all the
 * time; and what holds for every session holds for an address and for a network, however many of their ports are forged.
 */
static unsigned pass_amplification(struct udp_session *s, struct iovec *d, unsigned n)
{
	const uint32_t times = udp_session_conf(s)->udp_amplification;
	uint64_t allowed, sent = s->bytes[GATE_OUT];
	unsigned kept = 0;

	if (times == 0 || s->visitor != NULL)
		return n;
	allowed = s->bytes[GATE_IN] * times + (s->adopted ? UDP_ADOPTED_ANSWERS : 0);
	for (unsigned i = 0; i < n; i++) {
		if (sent + d[i].iov_len > allowed)
			continue;
		sent += d[i].iov_len;
		d[kept++] = d[i];
	}
	udp_lane_count(s->lane, METER_dropped_out, n - kept);
	return kept;
}

unsigned udp_session_pass(struct udp_session *s, enum gate_way way, struct iovec *d, unsigned n)
{
	if (way == GATE_OUT)
		n = pass_amplification(s, d, n);
	return pass_quota(s, way, d, pass_rate(s, way, d, n));
}
