/*
 * quick_options - what may stand beside the words of quick commands: rows for the table of commands.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_OPTIONS_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_OPTIONS_H

#include "client/commands/options.h"

extern const struct option_row quick_options_by_port[], quick_options_by_host[]; /* services of this machine */
extern const struct option_row quick_options_socks[];
extern const struct option_row quick_options_visit[];

#endif
