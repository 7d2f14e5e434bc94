/*
 * acme_settings - what an operator says of the certificate authority: a part of struct settings, filled by its table.
 */
#ifndef PORTWAY_CONTROLD_ACME_ACME_SETTINGS_H
#define PORTWAY_CONTROLD_ACME_ACME_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct acme_settings {
	char *url;     /* "": there is none */
	char *contact; /* mail address; "": none */
	char *ca_file; /* who vouches for its server; "": as for other calls */
	char *eab_kid, *eab_key;
	bool terms_agreed;
	uint64_t retry_ms, relay_wait_ms;
};

#endif
