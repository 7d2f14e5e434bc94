/* The rows of the API. */
#include "controld/device_login/room.h"

static const struct schema_field nobody_fields[] = {
	{ .name = "account_id", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED, .max = ACCOUNT_ID_MAX },
};
static const struct schema nobody_schema = { "DeviceLoginBegin", nobody_fields, ARRAY_LEN(nobody_fields), false };

#define ACCOUNT_ID                                                                                           \
	{                                                                                                    \
		.name = "account_id", .type = SCHEMA_STRING, .min = 1, .max = ACCOUNT_ID_MAX,                \
		.help = "an account that was logged in with an API key, which is needed with it (X-API-Key)" \
	}
#define PROFILE(more)                                                                                          \
	{                                                                                                      \
		.name = "profile_uuid", .type = SCHEMA_STRING, .flags = (more), .min = 1, .max = UUID_SIZE - 1 \
	}
#define SESSION                                                                   \
	{                                                                         \
		.name = "session_id", .type = SCHEMA_STRING, .min = 1, .max = 64, \
		.help = "as game-session/new says it"                             \
	}

static const struct schema_field token_fields[] = {
	{ .name = "device_code", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = SERVICE_CODE_MAX },
	{ .name = "account_id", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED, .max = ACCOUNT_ID_MAX },
};
static const struct schema token_schema = { "DeviceLoginToken", token_fields, ARRAY_LEN(token_fields), false };
static const struct schema_field refresh_fields[] = {
	ACCOUNT_ID,
	{ .name = "refresh_token",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_SECRET,
		.min = 1,
		.max = SERVICE_TOKEN_MAX,
		.help = "in the place of account_id" },
};
static const struct schema refresh_schema = { "DeviceLoginRefresh", refresh_fields, ARRAY_LEN(refresh_fields), false };
static const struct schema_field account_fields[] = { ACCOUNT_ID };
static const struct schema account_schema = { "DeviceLoginAccount", account_fields, ARRAY_LEN(account_fields), false };
static const struct schema_field select_fields[] = { ACCOUNT_ID, PROFILE(SCHEMA_REQUIRED) };
static const struct schema select_schema = { "DeviceLoginProfile", select_fields, ARRAY_LEN(select_fields), false };
static const struct schema_field session_fields[] = { ACCOUNT_ID, PROFILE(0), SESSION };
static const struct schema session_schema = { "GameSession", session_fields, ARRAY_LEN(session_fields), false };

#define OAUTH(name) "/api/v1/hytale/oauth/" name
#define TAG         "Device login"
#define LIMITED(n)  (ROUTE_FOREIGN_BEARER | ROUTE_PER_MINUTE(n))
#define POST(name, schema, n, handler, summary)                                                                     \
	{                                                                                                           \
		"POST", OAUTH(name), PERM_PUBLIC, LANE_AWAY, NULL, schema, NULL, 200, LIMITED(n), handler, summary, \
			TAG                                                                                         \
	}

const struct route device_login_rows[] = {
	POST("device-code", &nobody_schema, 5, device_api_code, "Ask for a code that a person types in"),
	POST("token", &token_schema, 20, device_api_token,
		"Ask what became of a code: 400 authorization_pending until it is agreed to"),
	POST("refresh", &refresh_schema, 10, device_api_refresh, "Get a new pair of tokens"),
	POST("profiles", &account_schema, 20, profile_api_list, "List the profiles of an account"),
	POST("select-profile", &select_schema, 20, profile_api_select, "Say which profile game sessions are for"),
	POST("game-session/new", &session_schema, 10, game_session_api_new, "Begin a game session"),
	POST("game-session/refresh", &session_schema, 20, game_session_api_refresh,
		"Get new tokens for a game session"),
	POST("game-session/delete", &session_schema, 20, game_session_api_delete, "End a game session"),
};
const size_t device_login_rows_n = ARRAY_LEN(device_login_rows);
