#define _GNU_SOURCE
#include "common/uv/udp_send.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define SEGMENTS_MAX 64
#define TRAIN_BYTES  64000 /* with headers below the longest datagram that IP carries */
#define CONTROL      (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))

/* Messages under construction: each one datagram, or a train of several. */
struct trains {
	struct mmsghdr msgs[UDP_BATCH];
	unsigned first[UDP_BATCH]; /* datagram of each message */
	unsigned n;
	_Alignas(struct cmsghdr) uint8_t control[UDP_BATCH][CONTROL];
};

/* How many datagrams from here on make one train: all of one size, only the last may be shorter. */
static unsigned train_length(const struct iovec *d, unsigned left)
{
	size_t size = d[0].iov_len, total = size;
	unsigned n = 1;

	if (size == 0)
		return 1;
	while (n < left && n < SEGMENTS_MAX && d[n].iov_len != 0 && d[n].iov_len <= size &&
		total + d[n].iov_len <= TRAIN_BYTES) {
		total += d[n].iov_len;
		if (d[n++].iov_len < size)
			break;
	}
	return n;
}

static struct cmsghdr *put_control(struct msghdr *h, struct cmsghdr *at, int level, int type, const void *p, size_t n)
{
	at->cmsg_level = level;
	at->cmsg_type = type;
	at->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(at), p, n);
	h->msg_controllen += CMSG_SPACE(n);
	return (struct cmsghdr *)(void *)((uint8_t *)at + CMSG_SPACE(n));
}

static void fill_control(struct msghdr *h, const struct udp_local *local, size_t segment)
{
	struct cmsghdr *at = h->msg_control;

	if (local != NULL && local->family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = local->v4 };

		at = put_control(h, at, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
	} else if (local != NULL && local->family == AF_INET6) {
		struct in6_pktinfo info = { .ipi6_addr = local->v6 };

		at = put_control(h, at, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
	}
	if (segment != 0) {
		uint16_t size = (uint16_t)segment;

		put_control(h, at, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
	}
}

static void couple(struct trains *t, const struct udp_route *r, struct iovec *d, unsigned n)
{
	t->n = 0;
	for (unsigned i = 0; i < n;) {
		unsigned k = r->segments ? train_length(d + i, n - i) : 1;
		struct msghdr *h = &t->msgs[t->n].msg_hdr;

		*h = (struct msghdr){ .msg_iov = d + i, .msg_iovlen = k, .msg_control = t->control[t->n] };
		if (r->to != NULL) {
			h->msg_name = (void *)(uintptr_t)&r->to->sa;
			h->msg_namelen = r->to->len;
		}
		fill_control(h, r->local, k > 1 ? d[i].iov_len : 0);
		t->first[t->n++] = i;
		i += k;
	}
}

static uint64_t bits(unsigned first, size_t n)
{
	return (n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << first;
}

/* What a connected socket reports of an earlier datagram, by ICMP: this one was not even looked at. */
static bool is_old_news(int errnum)
{
	return errnum == ECONNREFUSED || errnum == EHOSTUNREACH || errnum == ENETUNREACH || errnum == EHOSTDOWN;
}

static bool is_full(int errnum)
{
	return errnum == EAGAIN || errnum == ENOBUFS || errnum == ENOMEM;
}

static uint64_t send_many(struct udp_route *r, struct iovec *d, unsigned n)
{
	struct trains t;
	uint64_t taken = 0;
	bool retried = false;

	couple(&t, r, d, n);
	for (unsigned at = 0; at < t.n;) {
		int k = sendmmsg(r->fd, t.msgs + at, t.n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		size_t length = t.msgs[at].msg_hdr.msg_iovlen;

		if (k > 0) {
			for (; k > 0; k--, at++)
				taken |= bits(t.first[at], t.msgs[at].msg_hdr.msg_iovlen);
			retried = false;
		} else if (is_full(errno)) {
			break;
		} else if (is_old_news(errno) && !retried) {
			retried = true;
		} else if (length > 1) {
			r->segments = false;
			return taken | udp_send(r, d + t.first[at], n - t.first[at]) << t.first[at];
		} else {
			at++;
		}
	}
	return taken;
}

static bool has_local(const struct udp_route *r)
{
	return r->local != NULL && r->local->family != AF_UNSPEC;
}

/* The common case of a request or an answer by itself: sendto has least to copy. */
static uint64_t send_one(const struct udp_route *r, const struct iovec *d)
{
	const struct sockaddr *to = r->to != NULL ? &r->to->sa : NULL;
	socklen_t len = r->to != NULL ? r->to->len : 0;

	for (unsigned tries = 0; tries < 2; tries++) {
		if (sendto(r->fd, d->iov_base, d->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL, to, len) >= 0)
			return 1;
		if (!is_old_news(errno))
			break;
	}
	return 0;
}

uint64_t udp_send(struct udp_route *r, struct iovec *datagrams, unsigned n)
{
	if (n == 1 && !has_local(r))
		return send_one(r, datagrams);
	return send_many(r, datagrams, n);
}
