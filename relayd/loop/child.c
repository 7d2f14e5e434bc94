#define _GNU_SOURCE
#include "relayd/loop/child.h"

#include "common/base/err.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int pidfd;
	uv_poll_t watch;
	int status;
	child_exit_fn on_exit;
	void *arg;
};

/*
 * Nothing of this process's signal handling goes on in the child. What is said to it, or to the whole group, before it can hear waits: it
 * would be its end.
 */
static int set_attributes(posix_spawnattr_t *attr)
{
	static const int wait[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2 };
	sigset_t held, all;
	int r;

	sigemptyset(&held);
	for (size_t i = 0; i < ARRAY_LEN(wait); i++)
		sigaddset(&held, wait[i]);
	sigfillset(&all);
	if ((r = posix_spawnattr_setsigmask(attr, &held)) != 0 || (r = posix_spawnattr_setsigdefault(attr, &all)) != 0)
		return r;
	return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(pid_t *pid, const char *path, char *const argv[], int fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	if ((r = posix_spawn_file_actions_init(&actions)) != 0)
		return r;
	if ((r = posix_spawnattr_init(&attr)) == 0) {
		if ((r = posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD)) == 0 &&
			(r = set_attributes(&attr)) == 0)
			r = posix_spawn(pid, path, &actions, &attr, argv, environ);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static void on_closed(uv_handle_t *h)
{
	struct child *c = h->data;

	close(c->pidfd);
	if (c->on_exit != NULL)
		c->on_exit(c, c->status, c->arg);
	free(c);
}

static void on_pidfd(uv_poll_t *watch, int status, int events)
{
	struct child *c = watch->data;

	(void)status, (void)events;
	if (waitpid(c->pid, &c->status, WNOHANG) != c->pid)
		return;
	uv_close((uv_handle_t *)watch, on_closed);
}

int child_start(struct child **out, uv_loop_t *loop, const char *path, char *const argv[], int fd,
	child_exit_fn on_exit, void *arg, struct err *e)
{
	struct child *c = calloc(1, sizeof *c);
	int r;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "start %s: out of memory", path);
	if ((r = spawn(&c->pid, path, argv, fd)) != 0) {
		free(c);
		return err_set_sys(e, ERR_IO, r, "start %s", path);
	}
	if ((c->pidfd = pidfd_open(c->pid, 0)) < 0) {
		err_set_sys(e, ERR_IO, errno, "watch process %d", (int)c->pid);
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		free(c);
		return -1;
	}
	c->on_exit = on_exit;
	c->arg = arg;
	uv_poll_init(loop, &c->watch, c->pidfd);
	c->watch.data = c;
	uv_poll_start(&c->watch, UV_READABLE, on_pidfd);
	*out = c;
	return 0;
}

pid_t child_pid(const struct child *c)
{
	return c->pid;
}

void child_kill(struct child *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->watch)) /* not reaped yet, so the number is still its own */
		kill(c->pid, SIGKILL);
}

void child_abandon(struct child *c)
{
	c->on_exit = NULL;
	if (!uv_is_closing((uv_handle_t *)&c->watch))
		uv_close((uv_handle_t *)&c->watch, on_closed);
}
