/*
 * sys - the system calls that every byte costs, without libc's cancellation points.
 *
 * In a process with threads, libc wraps each of these in two atomic operations, so that pthread_cancel() could end a
 * thread there. Nobody cancels a worker. What is saved is a few percent of a small message.
 * errno is set as by libc.
 */
#ifndef PORTWAY_UV_SYS_H
#define PORTWAY_UV_SYS_H

#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline ssize_t sys_recv(int fd, void *p, size_t n, int flags)
{
	return syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);
}
static inline ssize_t sys_send(int fd, const void *p, size_t n, int flags)
{
	return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}
static inline ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return syscall(SYS_sendmsg, fd, m, flags);
}
static inline ssize_t sys_splice(int from, int to, size_t n, unsigned flags)
{
	return syscall(SYS_splice, from, NULL, to, NULL, n, flags);
}
static inline int sys_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	return (int)syscall(SYS_epoll_pwait, epfd, events, max, timeout_ms, NULL, 8);
}

#endif
