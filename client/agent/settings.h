/*
 * settings - what may be set on an agent, from one table (settings.c): defaults, YAML file, environment, flags.
 *
 * Owner: the agent's command, then the agent. On SIGHUP a second one is loaded and what may change is taken.
 */
#ifndef PORTWAY_CLIENT_AGENT_SETTINGS_H
#define PORTWAY_CLIENT_AGENT_SETTINGS_H

#include "client/agent/relay/relay_url.h"
#include "common/conf/conf.h"

#include <stdint.h>

struct credential;
struct err;

struct settings {
	char *relays;     /* host:port, several by comma */
	char *token;      /* id.secret.fingerprint; or */
	char *token_file; /* the file that holds it; or */
	char *client_id;  /* the three of them */
	char *secret;
	char *ca_fingerprint;
	char *tls_cert; /* files; in place of the secret */
	char *tls_key;
	char *controld;    /* "": the relays stay as they are set; else who is asked for them */
	char *controld_ca; /* file; "": the system's */
	char *allow;
	char *listen;      /* as allow: what private mappings may be listened on */
	char *instance;    /* "": the state folder's */
	char *proxy;       /* "http://host:port"; "": https_proxy of the environment; "off" */
	char *state_dir;   /* filled in when it was "" */
	char *runtime_dir; /* the same */
	uint64_t max_streams;
	uint64_t max_udp_sessions;
	uint64_t dial_timeout_ms;
	uint64_t udp_idle_ms;
	uint64_t unknown_ms;
	uint64_t drain_timeout_ms;
	uint64_t follow_interval_ms;
	int log_level;  /* enum log_level */
	int log_format; /* enum log_format */
};

#define SETTINGS_LISTEN "localhost:1024-65535"

const struct conf_table *settings_table(void);
/* With what no single row can check. 0, or -1 with every error in *errs. */
int settings_load(struct settings *out, const struct conf_source *src, struct err_list *errs) MUST_CHECK;
/* As rules. */
const char *settings_listen(const struct settings *s);
void settings_free(struct settings *s); /* also of a zeroed one */
/* From the token, its file, its parts, or a certificate. */
int settings_credential(const struct settings *s, struct credential *out, struct err *e) MUST_CHECK;

#define SETTINGS_RELAYS_MAX 32
#define SETTINGS_RELAY_SIZE RELAY_URL_SIZE
/* Calls fn for each relay of the list; -1 when one cannot be read (relay_url.h) or they are none or too many. */
int settings_each_relay(
	const char *relays, void (*fn)(const char *relay, void *arg), void *arg, struct err *e) MUST_CHECK;

#endif
