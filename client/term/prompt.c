#include "client/term/prompt.h"

#include "client/out/text.h"
#include "common/base/err.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

bool prompt_possible(void)
{
	return isatty(STDIN_FILENO);
}

/* Byte by byte: what follows the line belongs to somebody else. It ends at a line end, or with the byte `stop` in it. */
static int read_line(char *dst, size_t size, int stop, struct err *e)
{
	size_t n = 0;

	dst[0] = '\0';
	for (;;) {
		char c;
		ssize_t got = read(STDIN_FILENO, &c, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_sys(e, ERR_IO, errno, "read the standard input");
		if (got == 0 || c == '\n')
			break;
		if (n + 1 == size)
			return err_set(e, ERR_BAD_REQUEST, NULL, "the line is longer than %zu bytes", size - 1);
		dst[n++] = c;
		dst[n] = '\0';
		if ((unsigned char)c == stop)
			break;
	}
	if (n > 0 && dst[n - 1] == '\r')
		dst[--n] = '\0';
	if (n == 0)
		return err_set(e, ERR_BAD_REQUEST, NULL, "nothing was entered");
	return strlen(dst) == n ? 0 : err_set(e, ERR_BAD_REQUEST, NULL, "the line holds a NUL byte");
}

int prompt_read(char *dst, size_t size, struct err *e)
{
	return read_line(dst, size, -1, e);
}

int prompt_line(const char *question, char *dst, size_t size, struct err *e)
{
	text_put(stderr, question);
	(void)fflush(stderr);
	return prompt_read(dst, size, e);
}

/* Signals that end or stop the program wait until the terminal is as it was. */
static void hold_signals(sigset_t *before)
{
	sigset_t held;

	(void)sigemptyset(&held);
	(void)sigaddset(&held, SIGINT);
	(void)sigaddset(&held, SIGTERM);
	(void)sigaddset(&held, SIGHUP);
	(void)sigaddset(&held, SIGTSTP);
	(void)sigprocmask(SIG_BLOCK, &held, before);
}

/*
 * With signals held, ctrl-c has to come as a byte (no ISIG), which ends the line as nothing and is raised afterwards.
 * Waiting in read(2) with signals let through would leave the terminal silent for good.
 */
static int read_silent(char *dst, size_t size, bool *interrupted, struct err *e)
{
	struct termios was, silent;
	int rc;

	if (tcgetattr(STDIN_FILENO, &was) != 0)
		return err_set_sys(e, ERR_IO, errno, "the terminal");
	silent = was;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ISIG);
	silent.c_lflag |= ICANON;
	silent.c_cc[VEOL] = was.c_cc[VINTR]; /* hands the line over at once */
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0)
		return err_set_sys(e, ERR_IO, errno, "the terminal");
	rc = read_line(dst, size, was.c_cc[VINTR], e);
	*interrupted = rc == 0 && dst[strlen(dst) - 1] == (char)was.c_cc[VINTR];
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &was);
	return rc;
}

int prompt_secret(const char *question, char *dst, size_t size, struct err *e)
{
	bool interrupted = false;
	sigset_t before;
	int rc;

	text_put(stderr, question);
	(void)fflush(stderr);
	hold_signals(&before);
	rc = read_silent(dst, size, &interrupted, e);
	(void)fputc('\n', stderr);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (interrupted) {
		explicit_bzero(dst, size);
		(void)raise(SIGINT);
		return err_set(e, ERR_BAD_REQUEST, NULL, "interrupted");
	}
	return rc;
}
