#include "client/commands/quick_options.h"

#define PORT(h)                                                                                           \
	{                                                                                                 \
		.name = "port", .type = OPTION_NUMBER, .value = "PORT", .min = 1, .max = 65535, .help = h \
	}
#define NAME                                                                                   \
	{                                                                                      \
		.name = "name", .type = OPTION_TEXT, .value = "NAME", .help = "of the mapping" \
	}
#define VERBOSE                                                                                \
	{                                                                                      \
		.name = "verbose", .type = OPTION_FLAG, .help = "tell what happens on the way" \
	}
#define TUNNEL_PORT PORT("tunnel port on the relays; else the one of the last time, or a free one")
#define SERVICE                                                                                                        \
	TUNNEL_PORT, NAME, { .name = "keep", .type = OPTION_FLAG, .help = "leave the mapping there at the end" },      \
		{ .name = "anonymous", .type = OPTION_FLAG, .help = "without an account, although there is a login" }, \
		VERBOSE

const struct option_row quick_options_by_port[] = { SERVICE, { .name = NULL } };

const struct option_row quick_options_by_host[] = {
	{ .name = "host",
		.type = OPTION_TEXT,
		.value = "NAME",
		.help = "host name it is asked for by; one without a dot is below the domain of the relays" },
	SERVICE,
	{ .name = NULL },
};

const struct option_row quick_options_socks[] = {
	{ .name = "allow-to",
		.type = OPTION_TEXT,
		.value = "RULES",
		.help = "what may be reached: names and ranges with ports, by comma, as an agent's allow; else all "
			"that this machine reaches, itself as well" },
	{ .name = "allow", .type = OPTION_TEXT, .value = "CIDRS", .help = "who may connect, by comma; else everyone" },
	TUNNEL_PORT,
	NAME,
	VERBOSE,
	{ .name = NULL },
};

const struct option_row quick_options_visit[] = {
	PORT("port here; else the one of the last time, or a free one"),
	{ .name = "bind", .type = OPTION_TEXT, .value = "ADDRESS", .help = "IP address here; else 127.0.0.1" },
	{ .name = "udp", .type = OPTION_FLAG, .help = "the port of CLIENT is one of UDP" },
	NAME,
	VERBOSE,
	{ .name = NULL },
};
