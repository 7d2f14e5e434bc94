/*
 * setting - a setting of the platform that system administrators change over the API: its row in the table of keys, its
 * row in the database. What nobody has changed is what the settings file or the environment says.
 *
 * Secrets are sealed in the database and never printed.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_PLATFORM_SETTING_H
#define PORTWAY_CONTROLD_PLATFORM_SETTING_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;
struct err_list;
struct guard;

#define SETTING_TEXT_MAX 2048

/* X(enum name, as the API calls it, kind, min, max, help): lengths of texts, bounds of numbers */
#define SETTING_KEYS(X)                                                                                               \
	X(AUTO_SYNC_ENABLED, "autoSyncEnabled", BOOL, 0, 1, "whether panels are synchronised by the clock")           \
	X(AUTO_SYNC_INTERVAL, "autoSyncInterval", NUMBER, 60, 2592000, "seconds from one to the next")                \
	X(CF_ACCESS_CLIENT_ID, "cfAccessClientId", TEXT, 0, 256, "sent to panels behind Cloudflare Access")           \
	X(CF_ACCESS_CLIENT_SECRET, "cfAccessClientSecret", SECRET, 0, 512, "sent with it")                            \
	X(EMAIL_FROM, "emailFrom", TEXT, 0, 254, "sender of mail: name@host, or Name <name@host>")                    \
	X(HYTALE_USE_STAGING, "hytaleUseStaging", BOOL, 0, 1, "staging in the place of production")                   \
	X(PTERODACTYL_API_KEY, "pterodactylApiKey", SECRET, 0, 512, "of the application API")                         \
	X(PTERODACTYL_CLIENT_API_KEY, "pterodactylClientApiKey", SECRET, 0, 512, "of the client API")                 \
	X(PTERODACTYL_URL, "pterodactylUrl", URL, 0, SETTING_TEXT_MAX,                                                \
		"of the panel; another host needs its keys in the same call")                                         \
	X(RESEND_API_KEY, "resendApiKey", SECRET, 0, 512, "of the mail service")                                      \
	X(SCALAR_API_KEY, "scalarApiKey", SECRET, 0, 512, "kept for programs that ask for it; not used by controld")  \
	X(SCALAR_URL, "scalarUrl", URL, 0, SETTING_TEXT_MAX, "as scalarApiKey")                                       \
	X(SYNC_BATCH_SIZE, "syncBatchSize", NUMBER, 1, 1000,                                                          \
		"objects on one page of a panel, written in one transaction")                                         \
	X(SYNC_REPORT_ALL, "syncReportAll", BOOL, 0, 1, "mail about every sync, not only about those that go wrong")  \
	X(SYNC_REPORT_EMAIL, "syncReportEmail", TEXT, 0, 254, "who gets a mail when a sync has ended; empty: nobody") \
	X(VIRTFUSION_API_KEY, "virtfusionApiKey", SECRET, 0, 2048, "of its API")                                      \
	X(VIRTFUSION_URL, "virtfusionUrl", URL, 0, SETTING_TEXT_MAX,                                                  \
		"of the panel; another host needs its keys in the same call")

enum setting_key {
#define X(name, api, kind, min, max, help) SETTING_##name,
	SETTING_KEYS(X)
#undef X
		SETTING_KEYS_N
};

enum setting_kind { SETTING_IS_TEXT, SETTING_IS_URL, SETTING_IS_SECRET, SETTING_IS_BOOL, SETTING_IS_NUMBER };

struct setting {
	char text[SETTING_TEXT_MAX + 1]; /* of texts and secrets */
	int64_t number;                  /* and of the others */
	bool kept;                       /* the database has it; else it is what the file says */
	int64_t updated_ms;
	char updated_by[64];
};

/* All of them; of the others `out` keeps what it had. Secrets are opened. To be wiped. */
struct settings_now {
	struct setting of[SETTING_KEYS_N];
};
int settings_now_read(struct db *db, struct settings_now *out, struct err *e) MUST_CHECK;
int setting_read(struct db *db, enum setting_key k, struct setting *out, struct err *e) MUST_CHECK;

/* -1: there is none of that name. */
int setting_find(const char *api_name);
const char *setting_name(enum setting_key k);
/* What was sent: a value that fits, or every error. *reset: null, the file's counts again; *same: a secret as it was shown. */
void setting_take(enum setting_key k, const json_t *v, const struct guard *guard, struct setting *out, bool *reset,
	bool *same, struct err_list *errs);
int setting_put(struct db *tx, enum setting_key k, const struct setting *s, struct err *e) MUST_CHECK;
int setting_drop(struct db *tx, enum setting_key k, struct err *e) MUST_CHECK;
/* As a member of an object; a secret as "***", or null. */
void setting_print(struct buf *b, enum setting_key k, const struct setting *s);

extern const struct sql_table setting_sql;
struct sealed_column;
extern const struct sealed_column setting_sealed;
struct schema;
extern const struct schema setting_schema; /* of an object with any of them */

#endif
