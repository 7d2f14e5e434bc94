#include "client/term/screen.h"

#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PAGE_MAX  (1u << 20)
#define SHOW      "\x1b[?1049h\x1b[?25l" /* the other buffer, no cursor */
#define HIDE      "\x1b[?25h\x1b[?1049l"
#define HOME      "\x1b[H"
#define LINE_ENDS "\x1b[K"
#define PAGE_ENDS "\x1b[J"

/* What signal handlers need: they are given no argument, and there is one terminal. */
static struct {
	bool keys; /* the standard input is a terminal as well */
	struct termios was;
	volatile sig_atomic_t redraw;
} screen;

/* ---- in and out: only calls that a signal handler may make ------------------------------------------------------- */

static void put(const char *s, size_t n)
{
	const int before = errno;

	while (n > 0) {
		ssize_t sent = write(STDOUT_FILENO, s, n);

		if (sent < 0 && errno != EINTR)
			break;
		s += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
	errno = before;
}

static void enter(void)
{
	struct termios raw = screen.was;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (screen.keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	put(SHOW, sizeof SHOW - 1);
}

static void leave(void)
{
	put(HIDE, sizeof HIDE - 1);
	if (screen.keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &screen.was);
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static void set(int number, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler }; /* no SA_RESTART: waiting ends */

	(void)sigemptyset(&act.sa_mask);
	(void)sigaction(number, &act, NULL);
}

/* Ends (or stops) as if there were no handler, but with the terminal in order. */
static void pass_on(int number)
{
	sigset_t only;

	leave();
	set(number, SIG_DFL);
	(void)sigemptyset(&only);
	(void)sigaddset(&only, number);
	(void)sigprocmask(SIG_UNBLOCK, &only, NULL);
	(void)raise(number);
}

static void on_end(int number)
{
	pass_on(number);
}

static void on_stop(int number)
{
	const int before = errno;

	pass_on(number); /* and here it goes on, when it is continued */
	set(number, on_stop);
	enter();
	screen.redraw = 1;
	errno = before;
}

static void on_resize(int number)
{
	(void)number;
	screen.redraw = 1;
}

int screen_open(void)
{
	if (!isatty(STDOUT_FILENO))
		return -1;
	screen.redraw = 0;
	screen.keys = tcgetattr(STDIN_FILENO, &screen.was) == 0;
	enter();
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		set(ending[i], on_end);
	set(SIGTSTP, on_stop);
	set(SIGWINCH, on_resize);
	return 0;
}

void screen_close(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		set(ending[i], SIG_DFL);
	set(SIGTSTP, SIG_DFL);
	set(SIGWINCH, SIG_DFL);
	leave();
}

/* ---- drawing ------------------------------------------------------------------------------------------------------ */

void screen_size(size_t *rows, size_t *columns)
{
	struct winsize size;

	*rows = 24;
	*columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
		return;
	*rows = size.ws_row;
	*columns = size.ws_col;
}

int screen_draw(const char *page)
{
	size_t rows, columns, row = 0;
	struct buf b;
	bool failed;

	screen_size(&rows, &columns);
	screen.redraw = 0;
	buf_init(&b, PAGE_MAX);
	buf_printf(&b, HOME);
	for (; *page != '\0' && row < rows; row++) {
		const size_t n = strcspn(page, "\n");

		if (row > 0)
			buf_printf(&b, "\n");
		buf_put(&b, page, text_fit(page, n, columns));
		buf_printf(&b, LINE_ENDS);
		page += n + (page[n] == '\n');
	}
	buf_printf(&b, PAGE_ENDS);
	put((const char *)b.data, b.len);
	failed = b.failed;
	buf_free(&b);
	return failed ? -1 : 0;
}

/* A key that was pressed; SCREEN_TIME when it means nothing. */
static enum screen_event read_key(void)
{
	char key;
	ssize_t got = read(STDIN_FILENO, &key, 1);

	if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
		return SCREEN_LOST;
	return got == 1 && (key == 'q' || key == 'Q') ? SCREEN_QUIT : SCREEN_TIME;
}

enum screen_event screen_wait(uint64_t ms)
{
	const uint64_t end = clock_mono_ms() + ms;
	uint64_t now;

	while ((now = clock_mono_ms()) < end) {
		struct pollfd p[] = { { .fd = screen.keys ? STDIN_FILENO : -1, .events = POLLIN },
			{ .fd = STDOUT_FILENO, .events = 0 } };
		enum screen_event event;

		if (screen.redraw)
			return SCREEN_RESIZE;
		if (poll(p, 2, (int)MIN(end - now, 3600000)) <= 0)
			continue;
		if ((p[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
			return SCREEN_LOST;
		if (p[0].revents != 0 && (event = read_key()) != SCREEN_TIME)
			return event;
	}
	return SCREEN_TIME;
}
