/*
 * command_options - what may stand beside the words of commands: rows for the table of commands; those of quick commands are
 * quick_options.h's.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_COMMAND_OPTIONS_H
#define PORTWAY_CLIENT_COMMANDS_COMMAND_OPTIONS_H

#include "client/commands/options.h"

extern const struct option_row command_options_agent[];
extern const struct option_row command_options_login[];
extern const struct option_row command_options_list[];
extern const struct option_row command_options_webhook[];
extern const struct option_row command_options_job[];
extern const struct option_row command_options_logs[];
extern const struct option_row command_options_top[];
extern const struct option_row command_options_api[];
extern const struct option_row command_options_ca[];
extern const struct option_row command_options_get[];
extern const struct option_row command_options_create[];
extern const struct option_row command_options_update[];
extern const struct option_row command_options_delete[];
extern const struct option_row command_options_service[];
extern const struct option_row command_options_client[];
extern const struct option_row command_options_config[];
extern const struct option_row command_options_quota[];

#endif
