/*
 * exit_codes - how a command ended, once: the enum, the table of --help and the man page come from here.
 *
 * X(name, number, meaning): scripts rely on the numbers. What may be tried again is EXIT_NO_ANSWER alone.
 */
#ifndef PORTWAY_CLIENT_EXIT_CODES_H
#define PORTWAY_CLIENT_EXIT_CODES_H

#define EXIT_CODES(X)                                                                                                \
	X(DONE, 0, "done")                                                                                           \
	X(BAD_NEWS, 1, "the answer is bad news: refused, invalid, unhealthy")                                        \
	X(USAGE, 2, "wrong usage")                                                                                   \
	X(CREDENTIALS, 3, "no credentials, or they are refused or may not do this: trying again does not help")      \
	X(NOT_FOUND, 4, "there is no such thing")                                                                    \
	X(NO_ANSWER, 5, "no answer after several tries: network trouble, or controld has too much to do: try again") \
	X(CONFLICT, 6, "taken, or changed by somebody else meanwhile; or a name that several objects have")          \
	X(LIMIT, 7, "a limit or a quota is reached: trying again helps when something has been given back")

enum command_exit {
#define X(name, number, meaning) EXIT_##name = (number),
	EXIT_CODES(X)
#undef X
};

#endif
