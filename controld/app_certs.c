/* Certificates of web sites, the authority that gives them, and the keys of TLS tickets. */
#include "common/base/clock.h"
#include "controld/acme/acme_client.h"
#include "controld/app_parts.h"
#include "controld/certs/certs.h"
#include "controld/fleet/fleet.h"
#include "controld/out/outbound.h"

#define CA_CALLS_MAX 32 /* at once */

/* The CA may be one that only its own file vouches for; that file vouches for nobody else. */
static int to_ca_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct outbound_conf conf = {
		.allow = s->outbound.allow,
		.ca_file = *s->acme.ca_file != '\0' ? s->acme.ca_file : s->outbound.ca_file,
		.transfers_max = CA_CALLS_MAX,
		.per_host_max = CA_CALLS_MAX,
		.connections_max = CA_CALLS_MAX,
	};

	if (*s->acme.url == '\0')
		return 0;
	return outbound_new(&a->to_ca, &conf, e);
}

int app_certs_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	struct certs_conf conf = {
		.certificates_max = (uint32_t)s->tunnels.certificates_max,
		.jobs = a->jobs,
		.outbound = a->outbound,
		.relays = { fleet_behind, a->fleet },
		.retry_ms = s->acme.retry_ms,
		.relay_wait_ms = s->acme.relay_wait_ms,
	};
	struct acme_ca ca = {
		.directory = s->acme.url,
		.contact = s->acme.contact,
		.eab_kid = s->acme.eab_kid,
		.eab_key = s->acme.eab_key,
		.terms_agreed = s->acme.terms_agreed,
	};

	if (to_ca_open(a, e) != 0)
		return -1;
	ca.outbound = a->to_ca;
	conf.ca = a->to_ca != NULL ? &ca : NULL;
	if (certs_new(&a->certs, &conf, a->store, e) != 0)
		return -1;
	return certs_rotate_tickets(a->certs, clock_wall_ms(), e);
}

void app_certs_close(struct app *a)
{
	certs_free(a->certs);
	outbound_free(a->to_ca);
}
