#define _GNU_SOURCE
#include "common/uv/udp_batch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Not a multiple of a page: the first lines of all slots would fall into the same few sets of the cache. */
#define STRIDE  (UDP_HEADROOM + UDP_SLOT_SIZE + 4096 + 64)
#define CONTROL CMSG_SPACE(sizeof(struct in6_pktinfo))

struct udp_batch {
	struct mmsghdr named[UDP_BATCH], plain[UDP_BATCH];
	struct iovec slot[UDP_BATCH];     /* as the kernel fills them */
	struct iovec datagram[UDP_BATCH]; /* as they came */
	struct addr from[UDP_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[UDP_BATCH][CONTROL];
	unsigned used; /* of named, by the last receive: to be set up again */
	uint8_t *memory;
};

int udp_batch_new(struct udp_batch **out)
{
	struct udp_batch *b = calloc(1, sizeof *b);
	void *memory;

	if (b == NULL)
		return -1;
	memory = mmap(NULL, (size_t)UDP_BATCH * STRIDE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		udp_batch_free(b);
		return -1;
	}
	madvise(memory, (size_t)UDP_BATCH * STRIDE, MADV_NOHUGEPAGE); /* a touched page is a page, not two megabytes */
	b->memory = memory;
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		b->slot[i] = (struct iovec){ b->memory + (size_t)i * STRIDE + UDP_HEADROOM, UDP_SLOT_SIZE };
		b->plain[i].msg_hdr = (struct msghdr){ .msg_iov = &b->slot[i], .msg_iovlen = 1 };
		b->named[i].msg_hdr = b->plain[i].msg_hdr;
		b->named[i].msg_hdr.msg_name = &b->from[i].sa;
		b->named[i].msg_hdr.msg_control = b->control[i];
	}
	b->used = UDP_BATCH;
	*out = b;
	return 0;
}

void udp_batch_free(struct udp_batch *b)
{
	if (b == NULL)
		return;
	if (b->memory != NULL)
		munmap(b->memory, (size_t)UDP_BATCH * STRIDE);
	free(b);
}

static int receive(struct udp_batch *b, struct mmsghdr *msgs, int fd)
{
	int n = recvmmsg(fd, msgs, UDP_BATCH, MSG_DONTWAIT, NULL);

	for (int i = 0; i < n; i++)
		b->datagram[i] = (struct iovec){ b->slot[i].iov_base, msgs[i].msg_len };
	return n;
}

int udp_batch_receive(struct udp_batch *b, int fd)
{
	int n;

	for (unsigned i = 0; i < b->used; i++) {
		b->named[i].msg_hdr.msg_namelen = sizeof b->from[i].v6;
		b->named[i].msg_hdr.msg_controllen = CONTROL;
	}
	n = receive(b, b->named, fd);
	b->used = n > 0 ? (unsigned)n : 0;
	for (unsigned i = 0; i < b->used; i++)
		b->from[i].len = b->named[i].msg_hdr.msg_namelen;
	return n;
}

int udp_batch_receive_connected(struct udp_batch *b, int fd)
{
	return receive(b, b->plain, fd);
}

void *udp_batch_slot(const struct udp_batch *b, unsigned i)
{
	return b->slot[i].iov_base;
}

struct iovec *udp_batch_datagram(struct udp_batch *b, unsigned i)
{
	return &b->datagram[i];
}

const struct addr *udp_batch_from(const struct udp_batch *b, unsigned i)
{
	return &b->from[i];
}

void udp_batch_local(const struct udp_batch *b, unsigned i, struct udp_local *out)
{
	struct msghdr h = b->named[i].msg_hdr;

	*out = (struct udp_local){ .family = AF_UNSPEC };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c != NULL; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			out->family = AF_INET;
			memcpy(&out->v4, CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_addr), sizeof out->v4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			out->family = AF_INET6;
			memcpy(&out->v6, CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_addr), sizeof out->v6);
		}
	}
}
