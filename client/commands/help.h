/*
 * help - the tables of commands, options and exit codes as people read them: --help and the parts of portway(1).
 */
#ifndef PORTWAY_CLIENT_COMMANDS_HELP_H
#define PORTWAY_CLIENT_COMMANDS_HELP_H

#include <stdio.h>

struct command;

void help_all(FILE *out);
void help_command(FILE *out, const struct command *c);
/* mdoc(7) of commands, options, resources or exits: what `part` names. 0, or -1 for no such part. */
int help_mdoc(FILE *out, const char *part);

#endif
